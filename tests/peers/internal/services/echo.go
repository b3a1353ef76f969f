package services

import (
	"log"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// EchoService is the bench's: route EchoService.echo, the same work as that
// of bench/components/echo.py. It logs no call.
type EchoService struct {
	component.Base
}

// AfterInit tells that the node has registered: with --bench nano says nothing.
func (e *EchoService) AfterInit() { log.Print("HOOK EchoService.AfterInit") }

// EchoMessage is decoded and encoded again: bytes handed through would measure
// no serializer.
type EchoMessage struct {
	Text string `json:"text"`
}

// Echo answers the text.
func (e *EchoService) Echo(s *session.Session, m *EchoMessage) error {
	return s.Response(&EchoMessage{Text: m.Text})
}

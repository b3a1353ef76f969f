package services

import (
	"log"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"google.golang.org/protobuf/types/known/wrapperspb"
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

// PbEchoService is EchoService with --serializer protobuf: the same work as that of
// bench/components/echo_protobuf.py.
type PbEchoService struct {
	component.Base
}

// AfterInit tells that the node has registered.
func (e *PbEchoService) AfterInit() { log.Print("HOOK EchoService.AfterInit") }

// Echo answers the value.
func (e *PbEchoService) Echo(s *session.Session, m *wrapperspb.StringValue) error {
	return s.Response(wrapperspb.String(m.Value))
}

package services

import (
	"log"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// PbService is served with --serializer protobuf; every payload is a
// google.protobuf.StringValue.
type PbService struct {
	component.Base
	address string
}

// NewPb makes the service.
func NewPb(address string) *PbService { return &PbService{address: address} }

func (p *PbService) called(method string, s *session.Session) {
	log.Printf("CALL PbService.%s sid=%d uid=%d mid=%d", method, s.ID(), s.UID(), s.LastMid())
}

// Echo answers the same value.
func (p *PbService) Echo(s *session.Session, m *wrapperspb.StringValue) error {
	p.called("Echo", s)
	return s.Response(m)
}

// Poke pushes the value back as onPoke.
func (p *PbService) Poke(s *session.Session, m *wrapperspb.StringValue) error {
	p.called("Poke", s)
	return s.Push("onPoke", m)
}

// Empty answers a message whose encoding has no bytes.
func (p *PbService) Empty(s *session.Session, _ *wrapperspb.StringValue) error {
	p.called("Empty", s)
	return s.Response(&wrapperspb.StringValue{})
}

// Node answers the address of the node that runs the handler.
func (p *PbService) Node(s *session.Session, _ *wrapperspb.StringValue) error {
	p.called("Node", s)
	return s.Response(wrapperspb.String(p.address))
}

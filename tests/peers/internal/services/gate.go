package services

import (
	"sync/atomic"

	"github.com/lonng/nano/session"
)

// GateService is the gate's own service: login, and a view of the session's
// bindings, which nano keeps on the gate.
type GateService struct {
	Common
	users int64
}

// NewGate makes the service of a gate.
func NewGate(address, label string) *GateService {
	return &GateService{Common: Common{service: "GateService", address: address, label: label}}
}

// Login binds the next user id, tells a backend and answers the id.
func (g *GateService) Login(s *session.Session, m *Message) error {
	g.called("Login", s)
	uid := atomic.AddInt64(&g.users, 1)
	if err := s.Bind(uid); err != nil {
		return err
	}
	if err := s.RPC("ChatService.OnRPC", &Message{Text: m.Name}); err != nil {
		return err
	}
	return answer(s, &Message{Name: m.Name, UID: uid})
}

// Bound answers the member that serves {text} for this session.
func (g *GateService) Bound(s *session.Session, m *Message) error {
	g.called("Bound", s)
	address, _ := s.Router().Find(m.Text)
	return answer(s, &Message{Text: address})
}

// BindTo makes the member at {text} serve {route} for this session.
func (g *GateService) BindTo(s *session.Session, m *Message) error {
	g.called("BindTo", s)
	s.Router().Bind(m.Route, m.Text)
	return answer(s, m)
}

// Rebind forgets which member serves {text}: the next message chooses again.
func (g *GateService) Rebind(s *session.Session, m *Message) error {
	g.called("Rebind", s)
	s.Router().Delete(m.Text)
	return answer(s, m)
}

// MasterService is the master's own service.
type MasterService struct {
	Common
	calls int
}

// NewMaster makes the service of a master.
func NewMaster(address, label string) *MasterService {
	return &MasterService{Common: Common{service: "MasterService", address: address, label: label}}
}

// Stats pushes onStats with the number of calls so far.
func (m *MasterService) Stats(s *session.Session, _ *Message) error {
	m.called("Stats", s)
	m.calls++
	return s.Push("onStats", &Message{N: m.calls})
}

// Package services holds the components of the peers.
//
// Every call is logged as "CALL Service.Method sid=… uid=… mid=…", because the
// log is what a test in another language can see of a Go node.
package services

import (
	"log"
	"strconv"

	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
)

// Message is what every JSON handler takes; each reads the fields it needs.
type Message struct {
	Name  string `json:"name,omitempty"`
	UID   int64  `json:"uid,omitempty"`
	Text  string `json:"text,omitempty"`
	Route string `json:"route,omitempty"`
	N     int    `json:"n,omitempty"`
}

// Place says where a handler ran. The session id is a string: it does not fit a
// JavaScript number.
type Place struct {
	Service string `json:"service"`
	Address string `json:"address"`
	Label   string `json:"label"`
	Session string `json:"session"`
	UID     int64  `json:"uid"`
}

// Common is what all services offer: to say where they are, to call another
// node, and to be called by one.
type Common struct {
	component.Base
	service string
	address string
	label   string
}

// The four hooks of nano, logged in the order in which nano calls them.

func (c *Common) Init()           { c.hook("Init") }
func (c *Common) AfterInit()      { c.hook("AfterInit") }
func (c *Common) BeforeShutdown() { c.hook("BeforeShutdown") }
func (c *Common) Shutdown()       { c.hook("Shutdown") }

func (c *Common) hook(name string) { log.Printf("HOOK %s.%s", c.service, name) }

func (c *Common) called(method string, s *session.Session) {
	log.Printf("CALL %s.%s sid=%d uid=%d mid=%d", c.service, method, s.ID(), s.UID(), s.LastMid())
}

func (c *Common) place(s *session.Session) *Place {
	return &Place{
		Service: c.service, Address: c.address, Label: c.label,
		Session: strconv.FormatInt(s.ID(), 10), UID: s.UID(),
	}
}

// Where answers the node and the session as this node sees it.
func (c *Common) Where(s *session.Session, _ *Message) error {
	c.called("Where", s)
	return s.Response(c.place(s))
}

// Call sends {text} to {route} on another node, by nano's one-way RPC.
func (c *Common) Call(s *session.Session, m *Message) error {
	c.called("Call", s)
	if err := s.RPC(m.Route, &Message{Text: m.Text}); err != nil {
		return err
	}
	return answer(s, &Message{Route: m.Route})
}

// OnRPC is the target of Call: it pushes onRPC to the client.
func (c *Common) OnRPC(s *session.Session, m *Message) error {
	c.called("OnRPC", s)
	return s.Push("onRPC", &Message{Text: m.Text, Name: c.service})
}

// answer responds to a request and does nothing after a notify.
func answer(s *session.Session, v interface{}) error {
	if s.LastMid() == 0 {
		return nil
	}
	return s.Response(v)
}

package smoke

import (
	"errors"
	"fmt"
	"time"

	"nanocluster/peers/internal/wire"
)

const (
	patience = 5 * time.Second
	quiet    = 300 * time.Millisecond // long enough for an answer, if one were coming
)

// wireChecks need nothing but a route that echoes JSON.
var wireChecks = []check{
	{"the handshake is answered with code 200 and a heartbeat", with(func(c *wire.Conn) error {
		if c.Hello.Code != 200 || c.Hello.Sys.Heartbeat <= 0 {
			return fmt.Errorf("answer %+v", c.Hello)
		}
		return nil
	})},
	{"a request is answered with its id and payload", echoed(func(c *wire.Conn, route string) error {
		m, err := c.Request(route, `{"text":"hello"}`)
		if err != nil {
			return err
		}
		if m.Error {
			return fmt.Errorf("answered with the error %s", m.Data)
		}
		return same(string(m.Data), `{"text":"hello"}`)
	})},
	{"a hundred requests in one write are answered in order", echoed(pipelined)},
	{"a request cut into single bytes is answered", echoed(dribbled)},
	{"handshake, acknowledgement and request may share a segment", together},
	{"heartbeats are taken at any time", echoed(func(c *wire.Conn, route string) error {
		for i := 0; i < 3; i++ {
			if err := c.Send(wire.Packet{Type: wire.Heartbeat}); err != nil {
				return err
			}
		}
		return alive(c, route)
	})},
	{"an unknown route is answered with an error or not at all", echoed(func(c *wire.Conn, route string) error {
		id, err := c.Ask("Nobody.nothing", `{}`)
		if err != nil {
			return err
		}
		m, err := c.Answer(id, quiet)
		if err == nil && !m.Error {
			return fmt.Errorf("answered with %s", m.Data)
		}
		if err != nil && !errors.Is(err, wire.ErrSilence) {
			return err
		}
		return alive(c, route)
	})},
	{"data before the acknowledgement closes the connection", early},
	{"an unknown packet type closes the connection", closes([]byte{9, 0, 0, 0})},
	{"an unknown message type closes the connection", closes([]byte{4, 0, 0, 3, 0x0c, 1, 'x'})},
	{"a packet beyond the limit closes the connection", closes([]byte{4, 0xff, 0xff, 0xff})},
}

func echoed(run func(c *wire.Conn, route string) error) func(t target) error {
	return func(t target) error {
		return with(func(c *wire.Conn) error { return run(c, t.echo) })(t)
	}
}

// alive makes sure that the connection still works.
func alive(c *wire.Conn, route string) error {
	m, err := c.Request(route, `{"text":"still here"}`)
	if err != nil {
		return fmt.Errorf("afterwards: %w", err)
	}
	return same(string(m.Data), `{"text":"still here"}`)
}

// pipelined stays below nano's queue of sixteen answers by reading as it goes.
func pipelined(c *wire.Conn, route string) error {
	for round := 0; round < 10; round++ {
		var all []byte
		for i := 0; i < 10; i++ {
			m := wire.Message{
				Type: wire.Request, ID: uint64(1000 + round*10 + i), Route: route,
				Data: []byte(fmt.Sprintf(`{"text":"%d"}`, i)),
			}
			all = append(all, wire.Packet{Type: wire.Data, Body: m.Encode()}.Encode()...)
		}
		if err := c.Raw(all); err != nil {
			return err
		}
		for i := 0; i < 10; i++ {
			m, err := c.Any(patience)
			if err != nil {
				return err
			}
			if m.ID != uint64(1000+round*10+i) || string(m.Data) != fmt.Sprintf(`{"text":"%d"}`, i) {
				return fmt.Errorf("answer %d was id %d with %s", i, m.ID, m.Data)
			}
		}
	}
	return nil
}

func dribbled(c *wire.Conn, route string) error {
	m := wire.Message{Type: wire.Request, ID: 7, Route: route, Data: []byte(`{"text":"slowly"}`)}
	for _, b := range (wire.Packet{Type: wire.Data, Body: m.Encode()}).Encode() {
		if err := c.Raw([]byte{b}); err != nil {
			return err
		}
	}
	answer, err := c.Answer(7, patience)
	if err != nil {
		return err
	}
	return same(string(answer.Data), `{"text":"slowly"}`)
}

func together(t target) error {
	c, err := wire.Open(t.address, t.path, t.hex)
	if err != nil {
		return err
	}
	defer c.Close()
	m := wire.Message{Type: wire.Request, ID: 3, Route: t.echo, Data: []byte(`{"text":"at once"}`)}
	all := wire.Packet{Type: wire.Handshake, Body: []byte(`{}`)}.Encode()
	all = append(all, wire.Packet{Type: wire.Ack}.Encode()...)
	all = append(all, wire.Packet{Type: wire.Data, Body: m.Encode()}.Encode()...)
	if err := c.Raw(all); err != nil {
		return err
	}
	if p, err := c.Packet(patience); err != nil || p.Type != wire.Handshake {
		return fmt.Errorf("first came packet type %d (%v)", p.Type, err)
	}
	answer, err := c.Answer(3, patience)
	if err != nil {
		return err
	}
	return same(string(answer.Data), `{"text":"at once"}`)
}

func early(t target) error {
	c, err := wire.Open(t.address, t.path, t.hex)
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := c.Ask(t.echo, `{}`); err != nil {
		return err
	}
	return c.Ended(patience)
}

func closes(data []byte) func(t target) error {
	return with(func(c *wire.Conn) error {
		if err := c.Raw(data); err != nil {
			return err
		}
		return c.Ended(patience)
	})
}

package smoke

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"nanocluster/peers/internal/wire"
)

// chatChecks need the services of a peer behind the gate.
var chatChecks = []check{
	{"a refused handshake closes the connection", func(t target) error {
		c, err := wire.Open(t.address, t.path, t.hex)
		if err != nil {
			return err
		}
		defer c.Close()
		if err := c.Send(wire.Packet{Type: wire.Handshake, Body: []byte("reject-me")}); err != nil {
			return err
		}
		return c.Ended(patience)
	}},
	{"a notify is answered with a push", with(func(c *wire.Conn) error {
		if err := c.Notify("ChatService.Echo", "to push"); err != nil {
			return err
		}
		m, err := c.Pushed("onEcho", patience)
		if err != nil {
			return err
		}
		return same(string(m.Data), "to push")
	})},
	{"a slow answer lets a later one pass", with(overtaken)},
	{"an error of a handler leaves the connection", with(survives("Fail"))},
	{"a panic of a handler leaves the connection", with(survives("Panic"))},
	{"a burst arrives as far as the server took it", with(burst)},
	{"a pump arrives whole and in order", with(pump)},
	{"a call to another node comes back as a push", with(func(c *wire.Conn) error {
		if _, err := c.Request("GateService.Call", `{"route":"ChatService.OnRPC","text":"across"}`); err != nil {
			return err
		}
		_, err := c.Pushed("onRPC", 400*time.Millisecond)
		if errors.Is(err, wire.ErrSilence) {
			return nil // a single node: nano's RPC never reaches its own services
		}
		return err
	})},
	{"a session says where it is served", with(func(c *wire.Conn) error {
		m, err := c.Request("ChatService.Where", `{}`)
		if err != nil {
			return err
		}
		var place struct{ Address, Session string }
		if err := json.Unmarshal(m.Data, &place); err != nil || place.Address == "" || place.Session == "" {
			return fmt.Errorf("answered %s", m.Data)
		}
		return nil
	})},
	{"a room hears its members", room},
	{"closing a session ends the connection", with(func(c *wire.Conn) error {
		if err := c.Notify("ChatService.CloseMe", `{}`); err != nil {
			return err
		}
		return c.Ended(patience)
	})},
}

func overtaken(c *wire.Conn) error {
	slow, err := c.Ask("ChatService.Slow", `{"n":150}`)
	if err != nil {
		return err
	}
	fast, err := c.Ask("ChatService.Echo", "fast")
	if err != nil {
		return err
	}
	first, err := c.Any(patience)
	if err != nil {
		return err
	}
	if first.ID != fast {
		return fmt.Errorf("first came the answer %d, want %d", first.ID, fast)
	}
	_, err = c.Answer(slow, patience)
	return err
}

func survives(method string) func(c *wire.Conn) error {
	return func(c *wire.Conn) error {
		id, err := c.Ask("ChatService."+method, `{}`)
		if err != nil {
			return err
		}
		if m, err := c.Answer(id, quiet); err == nil && !m.Error {
			return fmt.Errorf("answered %s", m.Data)
		} else if err != nil && !errors.Is(err, wire.ErrSilence) {
			return err
		}
		return alive(c, "ChatService.Echo")
	}
}

// burst asks for ten pushes: nano's queue takes that many from one handler.
func burst(c *wire.Conn) error {
	answer, err := c.Request("ChatService.Burst", `{"n":10}`)
	if err != nil {
		return err
	}
	if err := same(string(answer.Data), `{"n":10}`); err != nil {
		return err
	}
	return counted(c, "onBurst", 10)
}

// pump stays at sixteen: with more, nano's write loop may wait for itself for ever.
func pump(c *wire.Conn) error {
	if _, err := c.Request("ChatService.Pump", `{"n":16}`); err != nil {
		return err
	}
	return counted(c, "onPump", 16)
}

func counted(c *wire.Conn, route string, n int) error {
	for i := 1; i <= n; i++ {
		m, err := c.Pushed(route, patience)
		if err != nil {
			return fmt.Errorf("after %d pushes: %w", i-1, err)
		}
		if err := same(string(m.Data), fmt.Sprintf(`{"n":%d}`, i)); err != nil {
			return err
		}
	}
	return nil
}

// room joins with two clients: both hear what one says, and one hears a whisper.
func room(t target) error {
	clients := make([]*wire.Conn, 2)
	for i := range clients {
		c, err := wire.Connect(t.address, t.path, t.hex)
		if err != nil {
			return err
		}
		defer c.Close()
		if _, err := c.Request("ChatService.Join", fmt.Sprintf(`{"name":"c%d","uid":%d}`, i, 11+i)); err != nil {
			return fmt.Errorf("join: %w", err)
		}
		clients[i] = c
	}
	if _, err := clients[0].Pushed("onNewUser", patience); err != nil {
		return fmt.Errorf("the second did not become known: %w", err)
	}
	if err := clients[1].Notify("ChatService.Say", `{"text":"hello all"}`); err != nil {
		return err
	}
	for i, c := range clients {
		m, err := c.Pushed("onMessage", patience)
		if err != nil {
			return fmt.Errorf("client %d heard nothing: %w", i, err)
		}
		if err := same(string(m.Data), `{"uid":12,"text":"hello all"}`); err != nil {
			return err
		}
	}
	if err := clients[0].Notify("ChatService.Whisper", `{"uid":12,"text":"psst"}`); err != nil {
		return err
	}
	_, err := clients[1].Pushed("onWhisper", patience)
	return err
}

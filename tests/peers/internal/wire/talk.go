package wire

import (
	"errors"
	"fmt"
	"time"
)

// Ask sends a request and returns its id without waiting.
func (c *Conn) Ask(route, data string) (uint64, error) {
	c.next++
	m := Message{Type: Request, ID: c.next, Route: route, Data: []byte(data)}
	return c.next, c.Send(Packet{Data, m.Encode()})
}

// Request sends a request and waits for its answer.
func (c *Conn) Request(route, data string) (Message, error) {
	id, err := c.Ask(route, data)
	if err != nil {
		return Message{}, err
	}
	return c.Answer(id, 5*time.Second)
}

// Notify sends a notify.
func (c *Conn) Notify(route, data string) error {
	return c.Send(Packet{Data, Message{Type: Notify, Route: route, Data: []byte(data)}.Encode()})
}

// Answer waits for the response with the id.
func (c *Conn) Answer(id uint64, patience time.Duration) (Message, error) {
	return c.await(patience, func(m Message) bool { return m.Type == Response && m.ID == id })
}

// Pushed waits for a push on the route.
func (c *Conn) Pushed(route string, patience time.Duration) (Message, error) {
	return c.await(patience, func(m Message) bool { return m.Type == Push && m.Route == route })
}

// Any waits for the next message of any kind.
func (c *Conn) Any(patience time.Duration) (Message, error) {
	return c.await(patience, func(Message) bool { return true })
}

// await returns the first message that fits and keeps the others for later.
func (c *Conn) await(patience time.Duration, fits func(Message) bool) (Message, error) {
	for i, m := range c.early {
		if fits(m) {
			c.early = append(c.early[:i:i], c.early[i+1:]...)
			return m, nil
		}
	}
	until := time.Now().Add(patience)
	for {
		m, err := c.message(time.Until(until))
		if err != nil {
			return m, err
		}
		if fits(m) {
			return m, nil
		}
		c.early = append(c.early, m)
	}
}

func (c *Conn) message(patience time.Duration) (Message, error) {
	until := time.Now().Add(patience)
	for {
		p, err := c.Packet(time.Until(until))
		if err != nil {
			return Message{}, err
		}
		switch p.Type {
		case Heartbeat:
			c.Heartbeats++
			err = c.Send(Packet{Type: Heartbeat})
		case Kick:
			c.Kicked = true
		case Data:
			return Decode(p.Body, c.dict)
		default:
			err = fmt.Errorf("packet type %d after the handshake", p.Type)
		}
		if err != nil {
			return Message{}, err
		}
	}
}

// Ended waits until the server has closed the connection. Packets that come
// before are read and dropped.
func (c *Conn) Ended(patience time.Duration) error {
	until := time.Now().Add(patience)
	for {
		_, err := c.Packet(time.Until(until))
		if errors.Is(err, ErrSilence) {
			return errors.New("the server kept the connection open")
		}
		if err != nil {
			return nil // an end of stream, a reset, or a WebSocket's close
		}
	}
}

package services

import (
	"errors"
	"log"
	"time"

	"github.com/lonng/nano"
	"github.com/lonng/nano/session"
)

// ChatService is the backend's service: a room, and one handler for each thing
// that can go right or wrong.
type ChatService struct {
	Common
	room  *nano.Group
	tally map[int64]*tally
}

// tally is what one session has counted. The logic loop alone touches it.
type tally struct{ last, taken, inversions int }

// Members are the users bound in the room.
type Members struct {
	Members []int64 `json:"members"`
}

// NewChat makes the service and empties the room of sessions that end.
func NewChat(address, label string) *ChatService {
	c := &ChatService{
		Common: Common{service: "ChatService", address: address, label: label},
		room:   nano.NewGroup("room"),
		tally:  map[int64]*tally{},
	}
	session.Lifetime.OnClosed(func(s *session.Session) {
		_ = c.room.Leave(s)
		delete(c.tally, s.ID())
	})
	return c
}

// Join binds {uid}, announces {name} to the others and answers the members.
func (c *ChatService) Join(s *session.Session, m *Message) error {
	c.called("Join", s)
	if err := s.Bind(m.UID); err != nil {
		return err
	}
	if err := c.room.Broadcast("onNewUser", &Message{Name: m.Name, UID: m.UID}); err != nil {
		log.Printf("BROADCAST failed: %v", err)
	}
	if err := c.room.Add(s); err != nil {
		return err
	}
	return answer(s, &Members{Members: c.room.Members()})
}

// Say broadcasts onMessage {text, uid} to the room.
func (c *ChatService) Say(s *session.Session, m *Message) error {
	c.called("Say", s)
	return c.room.Broadcast("onMessage", &Message{Text: m.Text, UID: s.UID()})
}

// Whisper pushes onWhisper {text} to the member {uid}.
func (c *ChatService) Whisper(s *session.Session, m *Message) error {
	c.called("Whisper", s)
	other, err := c.room.Member(m.UID)
	if err != nil {
		return err
	}
	return other.Push("onWhisper", &Message{Text: m.Text, UID: s.UID()})
}

// Multi pushes onMulti {n} to the members whose uid is at most n.
func (c *ChatService) Multi(s *session.Session, m *Message) error {
	c.called("Multi", s)
	return c.room.Multicast("onMulti", m, func(other *session.Session) bool {
		return other.UID() <= int64(m.N)
	})
}

// Leave takes the session out of the room.
func (c *ChatService) Leave(s *session.Session, _ *Message) error {
	c.called("Leave", s)
	if err := c.room.Leave(s); err != nil {
		return err
	}
	return answer(s, &Members{Members: c.room.Members()})
}

// Echo answers a request with its bytes, and a notify with the push onEcho.
func (c *ChatService) Echo(s *session.Session, data []byte) error {
	c.called("Echo", s)
	if s.LastMid() == 0 {
		return s.Push("onEcho", data)
	}
	return s.Response(data)
}

// Kick closes the session of the member {uid}.
func (c *ChatService) Kick(s *session.Session, m *Message) error {
	c.called("Kick", s)
	other, err := c.room.Member(m.UID)
	if err != nil {
		return err
	}
	other.Close()
	return answer(s, m)
}

// CloseMe closes the caller's session.
func (c *ChatService) CloseMe(s *session.Session, _ *Message) error {
	c.called("CloseMe", s)
	s.Close()
	return nil
}

// Fail returns an error: nano logs it and answers nothing.
func (c *ChatService) Fail(s *session.Session, _ *Message) error {
	c.called("Fail", s)
	return errors.New("the caller asked for an error")
}

// Panic panics: nano logs it and answers nothing.
func (c *ChatService) Panic(s *session.Session, _ *Message) error {
	c.called("Panic", s)
	panic("the caller asked for a panic")
}

// Slow answers {n} milliseconds later, and serves others meanwhile.
func (c *ChatService) Slow(s *session.Session, m *Message) error {
	c.called("Slow", s)
	id := s.LastMid()
	time.AfterFunc(time.Duration(m.N)*time.Millisecond, func() {
		if err := s.ResponseMID(id, m); err != nil {
			log.Printf("SLOW sid=%d mid=%d failed: %v", s.ID(), id, err)
		}
	})
	return nil
}

// Block holds the whole node up for {n} milliseconds, then answers.
func (c *ChatService) Block(s *session.Session, m *Message) error {
	c.called("Block", s)
	time.Sleep(time.Duration(m.N) * time.Millisecond)
	return answer(s, m)
}

// Burst pushes onBurst {n} as often as asked, in one go, and answers how many
// nano took.
func (c *ChatService) Burst(s *session.Session, m *Message) error {
	c.called("Burst", s)
	taken := 0
	for i := 1; i <= m.N; i++ {
		if s.Push("onBurst", &Message{N: i}) == nil {
			taken++
		}
	}
	return s.ResponseMID(s.LastMid(), &Message{N: taken})
}

// Pump pushes onPump 1 to {n} from outside the logic loop, waiting whenever
// nano's queue of sixteen is full.
func (c *ChatService) Pump(s *session.Session, m *Message) error {
	c.called("Pump", s)
	go func() {
		for i := 1; i <= m.N; {
			err := s.Push("onPump", &Message{N: i})
			switch {
			case err == nil:
				i++
			case err.Error() == "session send buffer exceed":
				time.Sleep(200 * time.Microsecond)
			default:
				log.Printf("PUMP sid=%d stopped at %d: %v", s.ID(), i, err)
				return
			}
		}
	}()
	return answer(s, m)
}

// Count takes {n}, which is expected to grow by one with each call.
func (c *ChatService) Count(s *session.Session, m *Message) error {
	t := c.tally[s.ID()]
	if t == nil {
		t = &tally{}
		c.tally[s.ID()] = t
	}
	if m.N != t.last+1 {
		t.inversions++
	}
	t.last = m.N
	t.taken++
	return nil
}

// Counted logs and answers how many came by Count, as {n}, and how many of them
// not behind their predecessor, as {uid}.
func (c *ChatService) Counted(s *session.Session, _ *Message) error {
	t := c.tally[s.ID()]
	if t == nil {
		t = &tally{}
	}
	log.Printf("COUNTED sid=%d n=%d inversions=%d", s.ID(), t.taken, t.inversions)
	return answer(s, &Message{N: t.taken, UID: int64(t.inversions)})
}

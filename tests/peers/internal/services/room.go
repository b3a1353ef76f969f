package services

import (
	"github.com/lonng/nano"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/session"
	"google.golang.org/protobuf/types/known/wrapperspb"
)

// RoomService is the bench's: the same work as that of bench/components/room.py. It
// logs nothing; what nano does not deliver is missed by the load.
type RoomService struct {
	component.Base
	room *nano.Group
}

// NewRoom makes the service and empties the room of sessions that end.
func NewRoom() *RoomService {
	r := &RoomService{room: nano.NewGroup("room")}
	session.Lifetime.OnClosed(func(s *session.Session) { _ = r.room.Leave(s) })
	return r
}

// Join lets the client hear what is said from now on.
func (r *RoomService) Join(s *session.Session, m *wrapperspb.StringValue) error {
	if err := r.room.Add(s); err != nil {
		return err
	}
	return s.Response(wrapperspb.String(m.Value))
}

// Say tells all members.
func (r *RoomService) Say(_ *session.Session, m *wrapperspb.StringValue) error {
	return r.room.Broadcast("onSay", wrapperspb.String(m.Value))
}

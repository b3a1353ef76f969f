package main

import (
	"testing"
	"time"
)

// gathered are members of a room, of which the first one to begin speaks.
func gathered(t *testing.T, members int, ahead uint64) (*loop, *room) {
	t.Helper()
	r := &room{heard: []byte("on"), serializer: "protobuf", ahead: ahead}
	l := &loop{plan: &plan{patience: time.Second}, writer: &writer{}, shape: r, until: 1 << 60}
	l.conns = map[int32]*conn{}
	for i := range members {
		l.conns[int32(i)] = &conn{fd: -1}
	}
	r.begin(l)
	return l, r
}

// enter lets everybody in, the speaker last.
func enter(l *loop, r *room) {
	for _, c := range l.conns {
		if c != r.speaker {
			r.message(l, c, []byte{messageResponse, joinID}, 1)
		}
	}
	r.message(l, r.speaker, []byte{messageResponse, joinID}, 1)
}

func (r *room) delivery(number uint64) []byte {
	head := append([]byte{messagePush, byte(len(r.heard))}, r.heard...)
	return append(head, r.payloads[number%remembered]...)
}

func TestNothingIsSaidBeforeEverybodyIsThere(t *testing.T) {
	l, r := gathered(t, 3, 4)
	r.message(l, r.speaker, []byte{messageResponse, joinID}, 1)
	if r.said != 0 {
		t.Errorf("said %d", r.said)
	}
	if r.missing(l) != 2 {
		t.Errorf("%d missing", r.missing(l))
	}
}

func TestTheSpeakerKeepsAsManyOutstandingAsAsked(t *testing.T) {
	l, r := gathered(t, 2, 4)
	enter(l, r)
	if r.said != 4 {
		t.Errorf("said %d", r.said)
	}
	r.message(l, r.speaker, r.delivery(1), 2)
	if r.said != 5 || l.report.Served != 1 {
		t.Errorf("said %d, %+v", r.said, l.report)
	}
}

func TestDeliveriesAreCheckedForEachMember(t *testing.T) {
	l, r := gathered(t, 2, 4)
	enter(l, r)
	for _, c := range l.conns {
		if c == r.speaker {
			continue
		}
		r.message(l, c, r.delivery(1), 2)
		r.message(l, c, r.delivery(1), 2) // twice
		r.message(l, c, r.delivery(4), 2) // without 2 and 3
		wrong := r.delivery(4)
		wrong[2]++
		r.message(l, c, wrong, 2)
		wrong = r.delivery(4)
		wrong[len(wrong)-1] = 'x'
		r.message(l, c, wrong, 2)
	}
	got := l.report
	if got.Served != 2 || got.Late != 1 || got.Lost != 2 || got.Wrong != 2 {
		t.Errorf("%+v", got)
	}
	if r.missing(l) != 4 { // what the speaker has not heard
		t.Errorf("%d missing", r.missing(l))
	}
}

func TestASpeakerThatHearsNothingGoesOn(t *testing.T) {
	l, r := gathered(t, 2, 1)
	enter(l, r)
	r.sweep(l, int64(time.Second))
	if r.said != 1 {
		t.Errorf("said %d without patience", r.said)
	}
	r.sweep(l, int64(3*time.Second))
	if r.said != 2 {
		t.Errorf("said %d", r.said)
	}
	r.message(l, r.speaker, r.delivery(2), 4)
	if l.report.Lost != 1 {
		t.Errorf("%+v", l.report)
	}
}

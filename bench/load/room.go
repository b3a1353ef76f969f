package main

import (
	"bytes"
	"fmt"
)

// room is a closed loop of publishes: all connections join one group, and the first
// one speaks to it. It keeps a fixed number of its messages outstanding, those that it
// has not heard itself, as every member hears them.
//
// What is counted is deliveries: every member gets every message, in order, once.
type room struct {
	join       []byte
	say        []byte
	heard      []byte // the route of a delivery
	serializer string
	ahead      uint64 // messages outstanding
	speaker    *conn
	joined     int
	said       uint64            // number of the last message
	back       uint64            // number of the last one that the speaker has heard
	progress   int64             // when that was
	sent       [remembered]int64 // when each was said
	payloads   [remembered][]byte
}

const (
	joinID     = 1
	remembered = 4096 // messages that a member may be behind the speaker
)

func (r *room) begin(l *loop) {
	empty := must(payload(r.serializer, "-"))
	for _, c := range l.conns {
		if r.speaker == nil {
			r.speaker = c
		}
		c.next = 1
		c.out = l.writer.request(c.out, r.join, joinID, empty)
	}
}

func (r *room) message(l *loop, c *conn, body []byte, now int64) {
	if route, payload, ok := push(body); ok {
		r.delivered(l, c, route, payload, now)
		return
	}
	id, failed, _, ok := answer(body)
	switch {
	case !ok || id != joinID:
		l.report.Wrong++
	case failed:
		l.report.Errors++
	default:
		if r.joined++; r.joined == len(l.conns) {
			r.progress = now
			r.speak(l, now)
			if c != r.speaker {
				l.write(r.speaker)
			}
		}
	}
}

func (r *room) delivered(l *loop, c *conn, route, payload []byte, now int64) {
	number, ok := r.number(payload)
	switch {
	case !ok || !bytes.Equal(route, r.heard):
		l.report.Wrong++
		return
	case number < c.next || number > r.said:
		l.report.Late++
		return
	}
	l.report.Lost += int(number - c.next)
	c.next = number + 1
	l.report.Served++
	if l.counted(now) {
		l.seen.add(now - r.sent[number%remembered])
	}
	if c == r.speaker {
		r.back, r.progress = number, now
		r.speak(l, now)
	}
}

// number finds which of the last messages has this payload.
func (r *room) number(payload []byte) (uint64, bool) {
	digits, ok := text(r.serializer, payload)
	if !ok {
		return 0, false
	}
	number := uint64(0)
	for _, digit := range digits {
		if digit < '0' || digit > '9' {
			return 0, false
		}
		number = number*10 + uint64(digit-'0')
	}
	return number, bytes.Equal(payload, r.payloads[number%remembered])
}

// speak says as much as may be outstanding.
func (r *room) speak(l *loop, now int64) {
	for now < l.until && r.said-r.back < r.ahead {
		r.said++
		at := r.said % remembered
		r.sent[at] = now
		r.payloads[at] = must(payload(r.serializer, fmt.Sprintf("%016d", r.said)))
		r.speaker.out = l.writer.notify(r.speaker.out, r.say, r.payloads[at])
	}
}

// sweep goes on when the speaker waits in vain for its own messages. The others count
// them as lost when a later one comes.
func (r *room) sweep(l *loop, now int64) {
	if r.joined == len(l.conns) && now-r.progress > int64(l.plan.patience) {
		r.back, r.progress = r.said, now
		r.speak(l, now)
	}
}

func (r *room) missing(l *loop) int {
	count := len(l.conns) - r.joined
	for _, c := range l.conns {
		if !c.dead {
			count += int(r.said + 1 - c.next)
		}
	}
	return count
}

package main

import "bytes"

// slot is one request in flight.
type slot struct {
	turn    uint64
	sent    int64 // nanoseconds since the start of the run
	waiting bool
}

// echoes is a closed loop of requests: every connection keeps a fixed number in
// flight and sends the next when an answer has come.
type echoes struct {
	route    []byte
	payload  []byte
	inFlight int
}

func (e *echoes) begin(l *loop) {
	for _, c := range l.conns {
		c.slots = make([]slot, e.inFlight)
		now := l.now()
		for i := range c.slots {
			e.send(l, c, i, now)
		}
	}
}

func (e *echoes) message(l *loop, c *conn, body []byte, now int64) {
	id, failed, payload, ok := answer(body)
	if !ok {
		return
	}
	index := int(id & (maxSlots - 1))
	if index >= len(c.slots) || c.slots[index].turn != id>>slotBits || !c.slots[index].waiting {
		l.report.Late++
		return
	}
	c.slots[index].waiting = false
	switch {
	case failed:
		l.report.Errors++
	case !bytes.Equal(payload, e.payload):
		l.report.Wrong++
	default:
		l.report.Served++
		if l.counted(now) {
			l.seen.add(now - c.slots[index].sent)
		}
	}
	if now < l.until {
		e.send(l, c, index, now)
	}
}

func (e *echoes) send(l *loop, c *conn, index int, now int64) {
	s := &c.slots[index]
	s.turn++
	s.sent = now
	s.waiting = true
	c.out = l.writer.request(c.out, e.route, s.turn<<slotBits|uint64(index), e.payload)
}

func (e *echoes) sweep(l *loop, now int64) {
	for _, c := range l.conns {
		if c.dead {
			continue
		}
		for i := range c.slots {
			if now-c.slots[i].sent > int64(l.plan.patience) {
				l.report.Lost++
				e.send(l, c, i, now)
			}
		}
	}
}

// missing counts those on connections that live: a closed one is a fault already.
func (e *echoes) missing(l *loop) int {
	count := 0
	for _, c := range l.conns {
		if c.dead {
			continue
		}
		for i := range c.slots {
			if c.slots[i].waiting {
				count++
			}
		}
	}
	return count
}

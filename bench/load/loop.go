package main

import (
	"bytes"
	"errors"
	"fmt"
	"syscall"
	"time"
)

// dialing bounds the time until all connections are made.
const dialing = 30 * time.Second

// loop is one run: all connections, one epoll, one thread.
type loop struct {
	plan    *plan
	request *requests
	conns   map[int32]*conn
	poller  int
	start   time.Time
	from    int64 // counting starts, nanoseconds since start
	until   int64
	seen    histogram
	report  report
	buffer  []byte
}

func (p *plan) run() (*report, error) {
	l := &loop{
		plan:    p,
		request: &requests{route: []byte(p.route), payload: p.payload, ws: p.ws != ""},
		conns:   make(map[int32]*conn, p.connections),
		buffer:  make([]byte, 256<<10),
	}
	l.report.Connections, l.report.InFlight = p.connections, p.inFlight
	if err := l.connect(); err != nil {
		return nil, err
	}
	defer l.close()
	l.start = time.Now()
	l.from = int64(p.warmup)
	l.until = l.from + int64(p.window)
	if err := l.turn(); err != nil {
		return nil, err
	}
	l.seen.fill(&l.report, p.window)
	if l.report.Closed == p.connections {
		return &l.report, errors.New("the server closed every connection")
	}
	return &l.report, nil
}

func (l *loop) connect() error {
	var err error
	if l.poller, err = syscall.EpollCreate1(syscall.EPOLL_CLOEXEC); err != nil {
		return err
	}
	until := time.Now().Add(dialing)
	for i := range l.plan.connections {
		c, err := l.plan.dial(until, l.request)
		if err != nil {
			return fmt.Errorf("connection %d of %d to %s: %w", i+1, l.plan.connections, l.plan.addr, err)
		}
		l.conns[int32(c.fd)] = c
		event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
		if err := syscall.EpollCtl(l.poller, syscall.EPOLL_CTL_ADD, c.fd, &event); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) now() int64 { return int64(time.Since(l.start)) }

// turn sends the first requests and runs until the window is over.
func (l *loop) turn() error {
	for _, c := range l.conns {
		now := l.now()
		for i := range c.slots {
			l.send(c, i, now)
		}
		l.write(c)
	}
	events := make([]syscall.EpollEvent, 1024)
	used := time.Duration(-1)
	var before work
	for swept := int64(0); ; {
		n, err := syscall.EpollWait(l.poller, events, 50)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			l.serve(l.conns[event.Fd], event.Events)
		}
		now := l.now()
		if used < 0 && now >= l.from {
			used = processorTime()
			if before, err = l.plan.watch.read(); err != nil {
				return err
			}
		}
		if now >= l.until {
			l.report.CPU = float64(processorTime()-used) / float64(now-l.from)
			after, err := l.plan.watch.read()
			l.report.User, l.report.System = after.user-before.user, after.system-before.system
			return err
		}
		if now-swept > int64(50*time.Millisecond) {
			swept = now
			l.sweep(now)
		}
	}
}

func (l *loop) serve(c *conn, events uint32) {
	if c == nil || c.dead {
		return
	}
	if events&syscall.EPOLLOUT != 0 {
		l.write(c)
	}
	if events&^uint32(syscall.EPOLLOUT) == 0 {
		return
	}
	n, err := syscall.Read(c.fd, l.buffer)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return
	}
	if err != nil || n == 0 {
		l.bury(c)
		return
	}
	now := l.now()
	err = c.take(l.request.ws, l.buffer[:n], func(kind byte, body []byte) error {
		return l.packet(c, kind, body, now)
	})
	if err != nil {
		l.bury(c)
		return
	}
	l.write(c)
}

func (l *loop) packet(c *conn, kind byte, body []byte, now int64) error {
	switch kind {
	case packetData:
		if id, failed, payload, ok := answer(body); ok {
			l.answered(c, id, failed, payload, now)
		}
	case packetHeartbeat:
		c.out = l.request.control(c.out, packetHeartbeat, "")
	case packetKick, packetHandshake:
	default:
		return errPacket
	}
	return nil
}

func (l *loop) answered(c *conn, id uint64, failed bool, payload []byte, now int64) {
	index := int(id & (maxSlots - 1))
	if index >= len(c.slots) || c.slots[index].turn != id>>slotBits {
		l.report.Late++
		return
	}
	switch {
	case failed:
		l.report.Errors++
	case !bytes.Equal(payload, l.plan.payload):
		l.report.Wrong++
	default:
		l.report.Served++
		if now >= l.from && now < l.until {
			l.seen.add(now - c.slots[index].sent)
		}
	}
	l.send(c, index, now)
}

func (l *loop) send(c *conn, index int, now int64) {
	s := &c.slots[index]
	s.turn++
	s.sent = now
	c.out = l.request.append(c.out, s.turn<<slotBits|uint64(index))
}

// write flushes and asks epoll for more only while the socket is full.
func (l *loop) write(c *conn) {
	if len(c.out) > 0 {
		if err := c.flush(); err != nil {
			l.bury(c)
			return
		}
	}
	full := len(c.out) > 0
	if full == c.writing {
		return
	}
	c.writing = full
	event := syscall.EpollEvent{Events: syscall.EPOLLIN, Fd: int32(c.fd)}
	if full {
		event.Events |= syscall.EPOLLOUT
	}
	if err := syscall.EpollCtl(l.poller, syscall.EPOLL_CTL_MOD, c.fd, &event); err != nil {
		l.bury(c)
	}
}

// sweep gives up on answers that are overdue, so that a server that loses some
// still shows what it does with the rest.
func (l *loop) sweep(now int64) {
	for _, c := range l.conns {
		if c.dead {
			continue
		}
		for i := range c.slots {
			if now-c.slots[i].sent > int64(l.plan.patience) {
				l.report.Lost++
				l.send(c, i, now)
			}
		}
		l.write(c)
	}
}

// bury forgets a connection; closing the socket takes it out of epoll.
func (l *loop) bury(c *conn) {
	if !c.dead {
		c.dead = true
		l.report.Closed++
		_ = syscall.Close(c.fd)
	}
}

func (l *loop) close() {
	for _, c := range l.conns {
		if !c.dead {
			_ = syscall.Close(c.fd)
		}
	}
	_ = syscall.Close(l.poller)
}

func processorTime() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}

// raiseFileLimit lets as many connections be made as the machine allows at all.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

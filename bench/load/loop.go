package main

import (
	"errors"
	"fmt"
	"syscall"
	"time"
)

// dialing bounds the time until all connections are made.
const dialing = 60 * time.Second

// shape is what the connections do: ask and be answered, or speak to a room.
type shape interface {
	// begin queues the first messages.
	begin(l *loop)
	// message takes one data packet that has come.
	message(l *loop, c *conn, body []byte, now int64)
	// sweep gives up on what is overdue, so that a server that loses some still
	// shows what it does with the rest.
	sweep(l *loop, now int64)
	// missing counts what is still awaited.
	missing(l *loop) int
}

// loop is one run: all connections, one epoll, one thread.
type loop struct {
	plan   *plan
	writer *writer
	shape  shape
	conns  map[int32]*conn
	poller int
	start  time.Time
	from   int64 // counting starts, nanoseconds since start
	until  int64 // nothing new is sent any more
	over   bool
	seen   histogram
	report report
	buffer []byte
}

func (p *plan) run() (*report, error) {
	l := &loop{
		plan:   p,
		writer: &writer{ws: p.ws != ""},
		shape:  p.shape(),
		conns:  make(map[int32]*conn, p.connections),
		buffer: make([]byte, 256<<10),
		from:   int64(p.warmup),
		until:  int64(p.warmup + p.window),
	}
	l.report.Connections, l.report.InFlight = p.connections, p.inFlight
	before, err := p.watch.memory()
	if err != nil {
		return nil, err
	}
	if err := l.connect(); err != nil {
		return nil, err
	}
	defer l.close()
	if p.kind == idle {
		time.Sleep(p.window)
		after, err := p.watch.memory()
		if err != nil {
			return nil, err
		}
		l.report.Before, l.report.After = before, after
		l.from, l.until = 0, 0
	}
	l.start = time.Now()
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
		c, err := l.plan.dial(until, l.writer)
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

// turn sends the first messages and runs until the window is over and everything
// that was sent has had its effect, or has been given up.
func (l *loop) turn() error {
	l.shape.begin(l)
	l.flush()
	events := make([]syscall.EpollEvent, 1024)
	var window measurement
	for swept := int64(0); ; {
		n, err := syscall.EpollWait(l.poller, events, 50)
		if err != nil && err != syscall.EINTR {
			return err
		}
		for _, event := range events[:max(n, 0)] {
			l.serve(l.conns[event.Fd], event.Events)
		}
		now := l.now()
		if !window.open && now >= l.from {
			if err := window.begin(l.plan.watch, now); err != nil {
				return err
			}
		}
		if !l.over && now >= l.until {
			l.over = true
			if err := window.end(l.plan.watch, now, &l.report); err != nil {
				return err
			}
		}
		if !l.over {
			if now-swept > int64(50*time.Millisecond) {
				swept = now
				l.shape.sweep(l, now)
				l.flush()
			}
			continue
		}
		missing := l.shape.missing(l)
		if missing == 0 {
			return nil
		}
		if now > l.until+int64(l.plan.patience) {
			l.report.Lost += missing
			return nil
		}
	}
}

// counted tells whether what comes now belongs to the window.
func (l *loop) counted(now int64) bool { return now >= l.from && now < l.until }

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
	err = c.take(l.buffer[:n], func(kind byte, body []byte) error {
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
		l.shape.message(l, c, body, now)
	case packetHeartbeat:
		c.out = l.writer.control(c.out, packetHeartbeat, "")
	case packetKick, packetHandshake:
	default:
		return errPacket
	}
	return nil
}

// flush writes what is queued on any connection.
func (l *loop) flush() {
	for _, c := range l.conns {
		if !c.dead && len(c.out) > 0 {
			l.write(c)
		}
	}
}

// write flushes and asks epoll for more only while the socket is full.
func (l *loop) write(c *conn) {
	if err := c.flush(); err != nil {
		l.bury(c)
		return
	}
	full := c.full()
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

// raiseFileLimit lets as many connections be made as the machine allows at all.
func raiseFileLimit() {
	var limit syscall.Rlimit
	if syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit) == nil {
		limit.Cur = limit.Max
		_ = syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit)
	}
}

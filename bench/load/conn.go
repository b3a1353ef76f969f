package main

import (
	"bytes"
	"fmt"
	"net"
	"syscall"
	"time"
)

// slot is one request in flight.
type slot struct {
	turn uint64
	sent int64 // nanoseconds since the start of the run
}

// conn is one connection of the load.
type conn struct {
	fd      int
	slots   []slot
	left    []byte // bytes of a packet, or frame, that is not whole yet
	stream  []byte // with WebSocket: payload bytes of a packet that is not whole yet
	out     []byte // what the socket did not take yet
	writing bool   // waits for the socket to take more
	dead    bool
}

// dial connects and shakes hands, then hands the socket over to epoll.
func (p *plan) dial(until time.Time, r *requests) (*conn, error) {
	socket, err := net.DialTimeout("tcp", p.addr, time.Until(until))
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	if err := socket.SetDeadline(until); err != nil {
		return nil, err
	}
	c := &conn{slots: make([]slot, p.inFlight)}
	if p.ws != "" {
		if c.left, err = upgrade(socket, p.addr, p.ws); err != nil {
			return nil, err
		}
	}
	if err := c.shake(socket, r); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, c.adopt(socket.(*net.TCPConn))
}

func (c *conn) shake(socket net.Conn, r *requests) error {
	if _, err := socket.Write(r.control(nil, packetHandshake, `{"sys":{"type":"load","version":"1"}}`)); err != nil {
		return err
	}
	part := make([]byte, 4096)
	for greeted := false; !greeted; {
		err := c.take(r.ws, nil, func(kind byte, body []byte) error {
			if kind == packetHandshake {
				greeted = true
				if !bytes.Contains(body, []byte(`"code":200`)) {
					return fmt.Errorf("refused: %s", body)
				}
			}
			return nil
		})
		if err != nil || greeted {
			if err != nil {
				return err
			}
			break
		}
		n, err := socket.Read(part)
		if err != nil {
			return err
		}
		c.left = append(c.left, part[:n]...)
	}
	_, err := socket.Write(r.control(nil, packetAck, ""))
	return err
}

// adopt duplicates the descriptor: Go's runtime keeps its own poller away from it.
func (c *conn) adopt(socket *net.TCPConn) error {
	raw, err := socket.SyscallConn()
	if err != nil {
		return err
	}
	failed := raw.Control(func(fd uintptr) { c.fd, err = syscall.Dup(int(fd)) })
	if failed != nil {
		return failed
	}
	if err != nil {
		return err
	}
	return syscall.SetNonblock(c.fd, true)
}

// take splits what is left over and *fresh* into packets. Fresh is only borrowed.
func (c *conn) take(ws bool, fresh []byte, packet func(kind byte, body []byte) error) error {
	data := fresh
	if len(c.left) > 0 {
		c.left = append(c.left, fresh...)
		data = c.left
	}
	if !ws {
		rest, err := packets(data, packet)
		c.left = append(c.left[:0], rest...)
		return err
	}
	rest, stream, err := frames(data, c.stream)
	if err != nil {
		return err
	}
	c.left = append(c.left[:0], rest...)
	remaining, err := packets(stream, packet)
	c.stream = append(stream[:0], remaining...)
	return err
}

// flush writes what it can; the rest waits in out.
func (c *conn) flush() error {
	n, err := syscall.Write(c.fd, c.out)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	c.out = append(c.out[:0], c.out[n:]...)
	return nil
}

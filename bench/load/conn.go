package main

import (
	"bytes"
	"fmt"
	"net"
	"syscall"
	"time"
)

// conn is one connection of the load.
type conn struct {
	fd      int
	ws      bool
	tls     *secure // nil without TLS
	left    []byte  // bytes of a packet, or frame, that is not whole yet
	stream  []byte  // with WebSocket: payload bytes of a packet that is not whole yet
	plain   []byte  // with TLS: what came, in the clear
	out     []byte  // what the socket did not take yet
	writing bool    // waits for the socket to take more
	dead    bool

	slots []slot // of a closed loop of requests
	next  uint64 // in a room: the number of the message that is heard next
}

// dial connects and shakes hands, then hands the socket over to epoll.
func (p *plan) dial(until time.Time, w *writer) (*conn, error) {
	socket, err := net.DialTimeout("tcp", p.addr, time.Until(until))
	if err != nil {
		return nil, err
	}
	defer socket.Close()
	if err := socket.SetDeadline(until); err != nil {
		return nil, err
	}
	c := &conn{ws: p.ws != ""}
	stream := socket
	if p.tls != nil {
		c.tls = wrap(socket, p.host, p.tls)
		stream = c.tls
	}
	if c.ws {
		if c.left, err = upgrade(stream, p.addr, p.ws); err != nil {
			return nil, err
		}
	}
	if err := c.shake(stream, w); err != nil {
		return nil, fmt.Errorf("handshake: %w", err)
	}
	return c, c.adopt(socket.(*net.TCPConn))
}

func (c *conn) shake(socket net.Conn, w *writer) error {
	if _, err := socket.Write(w.control(nil, packetHandshake, `{"sys":{"type":"load","version":"1"}}`)); err != nil {
		return err
	}
	part := make([]byte, 4096)
	for greeted := false; !greeted; {
		err := c.split(nil, func(kind byte, body []byte) error {
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
	_, err := socket.Write(w.control(nil, packetAck, ""))
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
	if c.tls != nil {
		c.tls.below.adopted = true
	}
	return syscall.SetNonblock(c.fd, true)
}

// take splits what is left over and what came from the socket into packets.
func (c *conn) take(fresh []byte, packet func(kind byte, body []byte) error) error {
	if c.tls == nil {
		return c.split(fresh, packet)
	}
	var err error
	if c.plain, err = c.tls.open(fresh, c.plain[:0]); err != nil {
		return err
	}
	return c.split(c.plain, packet)
}

// split is take behind TLS. Fresh is only borrowed.
func (c *conn) split(fresh []byte, packet func(kind byte, body []byte) error) error {
	data := fresh
	if len(c.left) > 0 {
		c.left = append(c.left, fresh...)
		data = c.left
	}
	if !c.ws {
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

// full tells that the socket did not take everything.
func (c *conn) full() bool {
	return len(c.out) > 0 || c.tls != nil && len(c.tls.below.out) > 0
}

// flush writes what it can; the rest waits.
func (c *conn) flush() error {
	if c.tls == nil {
		return drain(c.fd, &c.out)
	}
	if len(c.out) > 0 {
		if _, err := c.tls.Write(c.out); err != nil {
			return err
		}
		c.out = c.out[:0]
	}
	return drain(c.fd, &c.tls.below.out)
}

func drain(fd int, out *[]byte) error {
	if len(*out) == 0 {
		return nil
	}
	n, err := syscall.Write(fd, *out)
	if err == syscall.EAGAIN || err == syscall.EINTR {
		return nil
	}
	if err != nil {
		return err
	}
	*out = append((*out)[:0], (*out)[n:]...)
	return nil
}

package wire

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"syscall"
	"time"

	"github.com/gorilla/websocket"
)

// Hello is what a server answers to the handshake.
type Hello struct {
	Code int `json:"code"`
	Sys  struct {
		Heartbeat float64           `json:"heartbeat"`
		Dict      map[string]uint16 `json:"dict"`
	} `json:"sys"`
}

// Conn is one client connection over TCP or WebSocket. It is not safe for use
// by two goroutines.
type Conn struct {
	stream io.ReadWriteCloser
	read   chan arrival
	closed chan struct{}
	dict   map[uint16]string
	hex    bool
	next   uint64
	early  []Message // read while something else was awaited

	Hello      Hello
	Heartbeats int
	Kicked     bool
}

// arrival is one packet, or the end of the connection.
type arrival struct {
	packet Packet
	err    error
}

// ErrSilence means that nothing of what was awaited came in time.
var ErrSilence = errors.New("nothing came in time")

// Open connects without a handshake. Path is that of a WebSocket; empty means TCP.
func Open(address, path string, showHex bool) (*Conn, error) {
	c := &Conn{hex: showHex, read: make(chan arrival), closed: make(chan struct{})}
	socket, err := dial(address)
	if err != nil {
		return nil, err
	}
	c.stream = socket
	if path != "" {
		dialer := websocket.Dialer{
			NetDial:          func(string, string) (net.Conn, error) { return socket, nil },
			HandshakeTimeout: 5 * time.Second,
		}
		upgraded, _, err := dialer.Dial("ws://"+address+path, nil)
		if err != nil {
			return nil, err
		}
		c.stream = &frames{socket: upgraded}
	}
	go c.listen()
	return c, nil
}

// dial gives a node that has just said it is up a moment to open its client port:
// nano opens it beside that line of its log.
func dial(address string) (net.Conn, error) {
	for attempt := 0; ; attempt++ {
		socket, err := net.DialTimeout("tcp", address, 5*time.Second)
		if err == nil || attempt == 20 || !errors.Is(err, syscall.ECONNREFUSED) {
			return socket, err
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// listen reads until the connection ends. A deadline on the socket would not do:
// one that passes in the middle of a WebSocket message ruins the connection.
func (c *Conn) listen() {
	for {
		packet, err := Read(c.stream)
		select {
		case c.read <- arrival{packet, err}:
		case <-c.closed:
			return
		}
		if err != nil {
			close(c.read)
			return
		}
	}
}

// Connect opens a connection and shakes hands.
func Connect(address, path string, showHex bool) (*Conn, error) {
	c, err := Open(address, path, showHex)
	if err != nil {
		return nil, err
	}
	return c, c.Shake(`{"sys":{"type":"go-peer","version":"0.0.1"}}`)
}

// Shake sends the handshake, reads its answer and acknowledges it.
func (c *Conn) Shake(body string) error {
	if err := c.Send(Packet{Handshake, []byte(body)}); err != nil {
		return err
	}
	answer, err := c.Packet(5 * time.Second)
	if err != nil {
		return fmt.Errorf("no answer to the handshake: %w", err)
	}
	if answer.Type != Handshake {
		return fmt.Errorf("packet type %d in answer to the handshake", answer.Type)
	}
	if err := json.Unmarshal(answer.Body, &c.Hello); err != nil {
		return fmt.Errorf("handshake answer %q: %w", answer.Body, err)
	}
	c.dict = map[uint16]string{}
	for route, code := range c.Hello.Sys.Dict {
		c.dict[code] = route
	}
	return c.Send(Packet{Type: Ack})
}

// Send writes one packet at once.
func (c *Conn) Send(p Packet) error { return c.Raw(p.Encode()) }

// Raw writes bytes as they are.
func (c *Conn) Raw(data []byte) error {
	if c.hex {
		log.Printf("> %s", hex.EncodeToString(data))
	}
	_, err := c.stream.Write(data)
	return err
}

// Packet waits for the next packet, ErrSilence when none comes.
func (c *Conn) Packet(patience time.Duration) (Packet, error) {
	timer := time.NewTimer(patience)
	defer timer.Stop()
	select {
	case next, open := <-c.read:
		if !open {
			return Packet{}, io.EOF
		}
		if c.hex && next.err == nil {
			log.Printf("< %s", hex.EncodeToString(next.packet.Encode()))
		}
		return next.packet, next.err
	case <-timer.C:
		return Packet{}, ErrSilence
	}
}

// Close ends the connection. It is called once.
func (c *Conn) Close() {
	close(c.closed)
	_ = c.stream.Close()
}

// frames makes one byte stream of a WebSocket's messages.
type frames struct {
	socket *websocket.Conn
	reader io.Reader
}

func (f *frames) Read(into []byte) (int, error) {
	for {
		if f.reader == nil {
			_, reader, err := f.socket.NextReader()
			if err != nil {
				return 0, err
			}
			f.reader = reader
		}
		n, err := f.reader.Read(into)
		if err == io.EOF {
			f.reader, err = nil, nil
		}
		if n > 0 || err != nil {
			return n, err
		}
	}
}

func (f *frames) Write(data []byte) (int, error) {
	return len(data), f.socket.WriteMessage(websocket.BinaryMessage, data)
}

func (f *frames) Close() error { return f.socket.Close() }

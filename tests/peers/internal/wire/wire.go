// Package wire is the client side of the protocol, written from its description
// and not from nano's code, so that the two can be held against each other.
package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Packet types.
const (
	Handshake byte = 1
	Ack       byte = 2
	Heartbeat byte = 3
	Data      byte = 4
	Kick      byte = 5
)

// Message types.
const (
	Request  byte = 0
	Notify   byte = 1
	Response byte = 2
	Push     byte = 3
)

// errorFlag marks a response that reports a failure; nano itself never sets it.
const errorFlag = 0x20

// Packet is one frame.
type Packet struct {
	Type byte
	Body []byte
}

// Message is the body of a data packet. Route is empty on responses.
type Message struct {
	Type  byte
	ID    uint64
	Route string
	Data  []byte
	Error bool
}

// Encode frames the packet: type, three bytes of length, body.
func (p Packet) Encode() []byte {
	n := len(p.Body)
	return append([]byte{p.Type, byte(n >> 16), byte(n >> 8), byte(n)}, p.Body...)
}

// Read takes one packet from a stream.
func Read(stream io.Reader) (Packet, error) {
	var head [4]byte
	if _, err := io.ReadFull(stream, head[:]); err != nil {
		return Packet{}, err
	}
	body := make([]byte, binary.BigEndian.Uint32(head[:])&0xffffff)
	_, err := io.ReadFull(stream, body)
	return Packet{Type: head[0], Body: body}, err
}

// Encode frames the message with its route in full.
func (m Message) Encode() []byte {
	out := []byte{m.Type << 1}
	if m.Type == Request || m.Type == Response {
		out = binary.AppendUvarint(out, m.ID)
	}
	if m.Type != Response {
		out = append(out, byte(len(m.Route)))
		out = append(out, m.Route...)
	}
	return append(out, m.Data...)
}

// Decode reads a message; dict turns route codes into names and may be nil.
func Decode(body []byte, dict map[uint16]string) (Message, error) {
	if len(body) == 0 {
		return Message{}, errors.New("empty message")
	}
	flag, rest := body[0], body[1:]
	m := Message{Type: flag >> 1 & 7, Error: flag&errorFlag != 0}
	if m.Type > Push {
		return m, fmt.Errorf("message type %d", m.Type)
	}
	if m.Type == Request || m.Type == Response {
		id, n := binary.Uvarint(rest)
		if n <= 0 {
			return m, errors.New("message id does not end")
		}
		m.ID, rest = id, rest[n:]
	}
	if m.Type == Response {
		m.Data = rest
		return m, nil
	}
	return m.route(flag, rest, dict)
}

func (m Message) route(flag byte, rest []byte, dict map[uint16]string) (Message, error) {
	if flag&1 != 0 {
		if len(rest) < 2 {
			return m, errors.New("route code cut short")
		}
		name, known := dict[binary.BigEndian.Uint16(rest)]
		if !known {
			return m, errors.New("route code not in the dictionary")
		}
		m.Route, m.Data = name, rest[2:]
		return m, nil
	}
	if len(rest) == 0 || len(rest) < 1+int(rest[0]) {
		return m, errors.New("route cut short")
	}
	m.Route, m.Data = string(rest[1:1+rest[0]]), rest[1+rest[0]:]
	return m, nil
}

package main

import (
	"encoding/binary"
	"errors"
)

const (
	packetHandshake = 1
	packetAck       = 2
	packetHeartbeat = 3
	packetData      = 4
	packetKick      = 5

	messageRequest  = 0 << 1
	messageNotify   = 1 << 1
	messageResponse = 2 << 1
	messagePush     = 3 << 1
	flagError       = 0x20
	flagKind        = 0x0e
	flagCode        = 0x01 // the route is a number
)

// Ids are a turn and a slot: the slot finds the request at once, the turn tells a
// late answer from the one that is awaited. Nano refuses id 0, so turns start at 1.
const (
	slotBits = 8
	maxSlots = 1 << slotBits
)

var errPacket = errors.New("the server sent something that is no packet of the protocol")

// packets splits a stream at packet borders and returns what is left over.
func packets(data []byte, take func(kind byte, body []byte) error) ([]byte, error) {
	for len(data) >= 4 {
		head := binary.BigEndian.Uint32(data)
		end := 4 + int(head&0xffffff)
		if len(data) < end {
			break
		}
		if err := take(byte(head>>24), data[4:end]); err != nil {
			return nil, err
		}
		data = data[end:]
	}
	return data, nil
}

// writer builds packets.
type writer struct {
	ws bool
}

func (w *writer) request(out, route []byte, id uint64, payload []byte) []byte {
	n := uvarintLen(id)
	out = w.head(out, packetData, 1+n+1+len(route)+len(payload))
	out = append(out, messageRequest)
	out = binary.AppendUvarint(out, id)
	out = append(out, byte(len(route)))
	out = append(out, route...)
	return append(out, payload...)
}

func (w *writer) notify(out, route, payload []byte) []byte {
	out = w.head(out, packetData, 2+len(route)+len(payload))
	out = append(out, messageNotify, byte(len(route)))
	out = append(out, route...)
	return append(out, payload...)
}

func (w *writer) control(out []byte, kind byte, body string) []byte {
	return append(w.head(out, kind, len(body)), body...)
}

// head is what stands before a body of n bytes; with WebSocket a packet is a frame.
func (w *writer) head(out []byte, kind byte, n int) []byte {
	if w.ws {
		out = frame(out, 4+n)
	}
	return append(out, kind, byte(n>>16), byte(n>>8), byte(n))
}

func uvarintLen(id uint64) int {
	n := 1
	for id >= 0x80 {
		id >>= 7
		n++
	}
	return n
}

// answer reads a response; other messages give ok = false.
func answer(body []byte) (id uint64, failed bool, payload []byte, ok bool) {
	if len(body) < 2 || body[0]&flagKind != messageResponse {
		return 0, false, nil, false
	}
	id, n := binary.Uvarint(body[1:])
	if n <= 0 {
		return 0, false, nil, false
	}
	return id, body[0]&flagError != 0, body[1+n:], true
}

// push reads a push with its route in full; other messages give ok = false.
func push(body []byte) (route, payload []byte, ok bool) {
	if len(body) < 2 || body[0]&(flagKind|flagCode) != messagePush || len(body) < 2+int(body[1]) {
		return nil, nil, false
	}
	end := 2 + int(body[1])
	return body[2:end], body[end:], true
}

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

	messageResponse = 2 << 1
	flagError       = 0x20
	flagKind        = 0x0e
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

// requests builds request packets for one route and payload.
type requests struct {
	route   []byte
	payload []byte
	ws      bool
}

func (r *requests) append(out []byte, id uint64) []byte {
	n := uvarintLen(id)
	size := 1 + n + 1 + len(r.route) + len(r.payload)
	if r.ws {
		out = frame(out, 4+size)
	}
	out = append(out, packetData, byte(size>>16), byte(size>>8), byte(size), 0)
	out = binary.AppendUvarint(out, id)
	out = append(out, byte(len(r.route)))
	out = append(out, r.route...)
	return append(out, r.payload...)
}

func (r *requests) control(out []byte, kind byte, body string) []byte {
	if r.ws {
		out = frame(out, 4+len(body))
	}
	n := len(body)
	out = append(out, kind, byte(n>>16), byte(n>>8), byte(n))
	return append(out, body...)
}

func uvarintLen(id uint64) int {
	n := 1
	for id >= 0x80 {
		id >>= 7
		n++
	}
	return n
}

// answer reads a data packet; push and other kinds give ok = false.
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

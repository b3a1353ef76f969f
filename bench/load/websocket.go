package main

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"strings"
)

// frame starts a binary frame of a client. The mask is zero, which is a mask like
// any other and leaves the payload as it is.
func frame(out []byte, size int) []byte {
	switch {
	case size < 126:
		out = append(out, 0x82, 0x80|byte(size))
	case size < 1<<16:
		out = append(out, 0x82, 0x80|126, byte(size>>8), byte(size))
	default:
		out = append(out, 0x82, 0x80|127)
		out = binary.BigEndian.AppendUint64(out, uint64(size))
	}
	return append(out, 0, 0, 0, 0)
}

var errClosedByServer = errors.New("the server closed the WebSocket")

// frames appends the payloads of whole frames to out and returns what is left over.
func frames(data, out []byte) (left, stream []byte, err error) {
	for len(data) >= 2 {
		size, head := int(data[1]&0x7f), 2
		if data[1]&0x80 != 0 {
			return nil, nil, errPacket
		}
		switch size {
		case 126:
			head = 4
		case 127:
			head = 10
		}
		if len(data) < head {
			break
		}
		if head == 4 {
			size = int(binary.BigEndian.Uint16(data[2:]))
		} else if head == 10 {
			size = int(binary.BigEndian.Uint64(data[2:]))
		}
		if len(data) < head+size {
			break
		}
		switch data[0] & 0x0f {
		case 0, 1, 2:
			out = append(out, data[head:head+size]...)
		case 8:
			return nil, nil, errClosedByServer
		}
		data = data[head+size:]
	}
	return data, out, nil
}

// upgrade asks for a WebSocket and returns the bytes that came behind the answer.
func upgrade(socket net.Conn, host, path string) ([]byte, error) {
	request := "GET " + path + " HTTP/1.1\r\nHost: " + host + "\r\nUpgrade: websocket\r\n" +
		"Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n" +
		"Sec-WebSocket-Key: bG9hZCBnZW5lcmF0b3IuLg==\r\n\r\n"
	if _, err := socket.Write([]byte(request)); err != nil {
		return nil, err
	}
	var got []byte
	part := make([]byte, 4096)
	for {
		n, err := socket.Read(part)
		if err != nil {
			return nil, err
		}
		got = append(got, part[:n]...)
		if end := bytes.Index(got, []byte("\r\n\r\n")); end >= 0 {
			if !strings.HasPrefix(string(got), "HTTP/1.1 101") {
				return nil, fmt.Errorf("no WebSocket at %s: %q", path, got[:min(end, 60)])
			}
			return got[end+4:], nil
		}
	}
}

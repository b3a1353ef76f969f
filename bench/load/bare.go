package main

import (
	"encoding/binary"
	"flag"
	"fmt"
	"net"
	"os"
)

// bare serves the protocol without any server behind it: no session, no route
// table, no serializer. What it reaches, nobody can beat by much.
func bare(arguments []string) error {
	flags := flag.NewFlagSet("load bare", flag.ContinueOnError)
	listen := flags.String("listen", "127.0.0.1:0", "where to listen")
	if err := flags.Parse(arguments); err != nil {
		return err
	}
	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "LISTENING %s\n", listener.Addr())
	return accept(listener)
}

func accept(listener net.Listener) error {
	for {
		socket, err := listener.Accept()
		if err != nil {
			return err
		}
		go echo(socket)
	}
}

func echo(socket net.Conn) {
	defer socket.Close()
	var left, out []byte
	buffer := make([]byte, 64<<10)
	for {
		n, err := socket.Read(buffer)
		if err != nil {
			return
		}
		data := buffer[:n]
		if len(left) > 0 {
			left = append(left, data...)
			data = left
		}
		out = out[:0]
		rest, err := packets(data, func(kind byte, body []byte) error {
			var wrong error
			out, wrong = reply(out, kind, body)
			return wrong
		})
		if err != nil {
			return
		}
		left = append(left[:0], rest...)
		if len(out) > 0 {
			if _, err := socket.Write(out); err != nil {
				return
			}
		}
	}
}

func reply(out []byte, kind byte, body []byte) ([]byte, error) {
	switch kind {
	case packetHandshake:
		var plain writer
		return plain.control(out, packetHandshake, `{"code":200,"sys":{"heartbeat":30}}`), nil
	case packetData:
		if len(body) < 2 {
			return out, errPacket
		}
		_, n := binary.Uvarint(body[1:])
		if n <= 0 || len(body) < 2+n || len(body) < 2+n+int(body[1+n]) {
			return out, errPacket
		}
		payload := body[2+n+int(body[1+n]):]
		size := 1 + n + len(payload)
		out = append(out, packetData, byte(size>>16), byte(size>>8), byte(size), messageResponse)
		out = append(out, body[1:1+n]...)
		return append(out, payload...), nil
	}
	return out, nil
}

package main

import (
	"errors"
	"fmt"
)

// payload is the text as a server's serializer writes it: {"text": …} in JSON, in
// Protocol Buffers a google.protobuf.StringValue, whose only field has the number 1.
func payload(serializer, text string) ([]byte, error) {
	if len(text) == 0 || len(text) > 127 {
		return nil, errors.New("--text must have 1 to 127 bytes")
	}
	for _, letter := range []byte(text) {
		if letter < ' ' || letter > '~' || letter == '"' || letter == '\\' {
			return nil, errors.New("--text must be printable ASCII without quotes and backslashes")
		}
	}
	switch serializer {
	case "json":
		return []byte(`{"text":"` + text + `"}`), nil
	case "protobuf":
		return append([]byte{1<<3 | 2, byte(len(text))}, text...), nil
	}
	return nil, fmt.Errorf("--serializer %q: use json or protobuf", serializer)
}

// text is what payload was made of; ok = false when it was made of nothing.
func text(serializer string, payload []byte) (text []byte, ok bool) {
	head, tail := 2, 0
	if serializer == "json" {
		head, tail = len(`{"text":"`), len(`"}`)
	}
	if len(payload) <= head+tail {
		return nil, false
	}
	return payload[head : len(payload)-tail], true
}

// must is for what was checked on the command line.
func must(payload []byte, err error) []byte {
	if err != nil {
		panic(err)
	}
	return payload
}

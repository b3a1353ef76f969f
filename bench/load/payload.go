package main

import (
	"encoding/json"
	"errors"
	"fmt"
)

// payload is the text as a server's serializer writes it: {"text": …} in JSON, in
// Protocol Buffers a google.protobuf.StringValue, whose only field has the number 1.
func payload(serializer, text string) ([]byte, error) {
	if len(text) == 0 || len(text) > 127 {
		return nil, errors.New("--text must have 1 to 127 bytes")
	}
	switch serializer {
	case "json":
		return json.Marshal(struct {
			Text string `json:"text"`
		}{text})
	case "protobuf":
		return append([]byte{1<<3 | 2, byte(len(text))}, text...), nil
	}
	return nil, fmt.Errorf("--serializer %q: use json or protobuf", serializer)
}

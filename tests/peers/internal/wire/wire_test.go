package wire

import (
	"bytes"
	"encoding/hex"
	"testing"
)

// The bytes were recorded from nano's own encoder.
var recorded = []struct {
	bytes   string
	message Message
}{
	{"0400002100010a526f6f6d2e48656c6c6f7b226e616d65223a22616e6e222c226e223a317d",
		Message{Type: Request, ID: 1, Route: "Room.Hello", Data: []byte(`{"name":"ann","n":1}`)}},
	{"0400001d04ac027b226e616d65223a2268656c6c6f20616e6e222c226e223a327d",
		Message{Type: Response, ID: 300, Data: []byte(`{"name":"hello ann","n":2}`)}},
	{"0400001c06066f6e506f6b657b226e616d65223a22626f62222c226e223a327d",
		Message{Type: Push, Route: "onPoke", Data: []byte(`{"name":"bob","n":2}`)}},
	{"0400000c020a526f6f6d2e436c6f7365", Message{Type: Notify, Route: "Room.Close"}},
}

func TestBytesAreNanosBytes(t *testing.T) {
	for _, want := range recorded {
		packet := Packet{Data, want.message.Encode()}
		if got := hex.EncodeToString(packet.Encode()); got != want.bytes {
			t.Errorf("encoded %+v\n got %s\nwant %s", want.message, got, want.bytes)
		}
	}
}

func TestNanosBytesAreUnderstood(t *testing.T) {
	for _, want := range recorded {
		data, _ := hex.DecodeString(want.bytes)
		packet, err := Read(bytes.NewReader(data))
		if err != nil {
			t.Fatal(err)
		}
		got, err := Decode(packet.Body, nil)
		if err != nil || got.ID != want.message.ID || got.Route != want.message.Route ||
			!bytes.Equal(got.Data, want.message.Data) {
			t.Errorf("%s became %+v (%v)", want.bytes, got, err)
		}
	}
}

func TestWhatIsCutShortIsRefused(t *testing.T) {
	for _, text := range []string{"", "00", "0080", "0001", "000105aa", "0100", "08"} {
		body, _ := hex.DecodeString(text)
		if m, err := Decode(body, nil); err == nil {
			t.Errorf("%q was taken for %+v", text, m)
		}
	}
}

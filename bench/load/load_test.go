package main

import (
	"net"
	"testing"
	"time"
)

func served(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	go func() { _ = accept(listener) }()
	return listener.Addr().String()
}

func TestEveryAnswerIsCountedAndChecked(t *testing.T) {
	for _, inFlight := range []int{1, 16, maxSlots} {
		p := &plan{
			addr: served(t), route: "Any.route", payload: []byte(`{"text":"x"}`), connections: 5,
			inFlight: inFlight, window: 100 * time.Millisecond, patience: time.Second,
		}
		got, err := p.run()
		if err != nil {
			t.Fatal(err)
		}
		if got.Answers == 0 || got.Errors+got.Wrong+got.Late+got.Lost+got.Closed != 0 || got.P50 <= 0 {
			t.Errorf("in flight %d: %+v", inFlight, got)
		}
	}
}

func TestAPayloadThatDiffersIsWrong(t *testing.T) {
	l := &loop{plan: &plan{payload: []byte("a")}, request: &requests{}, until: 1 << 60}
	c := &conn{slots: make([]slot, 1)}
	l.send(c, 0, 0)
	l.answered(c, 1<<slotBits, false, []byte("b"), 5)
	l.answered(c, 2<<slotBits, true, []byte("a"), 5)
	l.answered(c, 2<<slotBits, false, []byte("a"), 5)
	l.answered(c, 3<<slotBits, false, []byte("a"), 5)
	if l.report.Wrong != 1 || l.report.Errors != 1 || l.report.Late != 1 || l.seen.total != 1 {
		t.Errorf("%+v, counted %d", l.report, l.seen.total)
	}
}

func TestAnAnswerThatNeverComesIsLost(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	go func() {
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		var plain requests
		_, _ = socket.Write(plain.control(nil, packetHandshake, `{"code":200}`))
	}()
	p := &plan{
		addr: listener.Addr().String(), connections: 1, inFlight: 2,
		window: 300 * time.Millisecond, patience: 100 * time.Millisecond,
	}
	got, err := p.run()
	if err != nil || got.Lost < 2 || got.Answers != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestPacketsAreFoundHoweverTheStreamIsCut(t *testing.T) {
	r := &requests{route: []byte("a.b"), payload: []byte("payload"), ws: true}
	whole := r.append(r.append(nil, 300), 5)
	for i := range whole { // as a server would send it: without a mask
		if whole[i] == 0x82 {
			whole[i+1] &= 0x7f
		}
	}
	var unmasked []byte
	for rest := whole; len(rest) > 0; {
		size := int(rest[1])
		unmasked = append(append(unmasked, rest[:2]...), rest[6:6+size]...)
		rest = rest[6+size:]
	}
	for cut := range unmasked {
		c, found := &conn{}, 0
		count := func(byte, []byte) error { found++; return nil }
		if err := c.take(true, unmasked[:cut], count); err != nil {
			t.Fatal(err)
		}
		if err := c.take(true, unmasked[cut:], count); err != nil {
			t.Fatal(err)
		}
		if found != 2 || len(c.left)+len(c.stream) != 0 {
			t.Errorf("cut at %d: %d packets", cut, found)
		}
	}
}

func TestQuantilesAreWithinTwoPercent(t *testing.T) {
	var h histogram
	for ns := int64(1); ns <= 100_000; ns++ {
		h.add(ns)
	}
	for _, q := range []float64{0.5, 0.99, 0.999} {
		got, want := h.quantile(q), q*100
		if got < want*0.98 || got > want*1.02 {
			t.Errorf("quantile %v is %v µs, want about %v", q, got, want)
		}
	}
}

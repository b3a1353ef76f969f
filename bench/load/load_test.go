package main

import (
	"net"
	"os"
	"strconv"
	"testing"
	"time"
)

func listening(t *testing.T) net.Listener {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = listener.Close() })
	return listener
}

func served(t *testing.T) string {
	t.Helper()
	listener := listening(t)
	go func() { _ = accept(listener) }()
	return listener.Addr().String()
}

func faults(r *report) int { return r.Errors + r.Wrong + r.Late + r.Lost + r.Closed }

func planned(t *testing.T, arguments ...string) *plan {
	t.Helper()
	short := []string{"--warmup=0", "--window=100ms", "--patience=1s", "--connections=5"}
	p, err := parse(append(short, arguments...))
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestEveryAnswerIsCountedAndChecked(t *testing.T) {
	for _, serializer := range []string{"json", "protobuf"} {
		for _, inFlight := range []string{"1", "16", "256"} {
			p := planned(t, "--addr", served(t), "--serializer", serializer, "--in-flight", inFlight)
			got, err := p.run()
			if err != nil {
				t.Fatal(err)
			}
			if got.Answers == 0 || faults(got) != 0 || got.P50 <= 0 {
				t.Errorf("%s, in flight %s: %+v", serializer, inFlight, got)
			}
		}
	}
}

func asking(t *testing.T) (*loop, *echoes, *conn) {
	t.Helper()
	e := &echoes{payload: []byte("a"), inFlight: 1}
	l := &loop{plan: &plan{patience: time.Second}, writer: &writer{}, shape: e, until: 1 << 60}
	c := &conn{}
	l.conns = map[int32]*conn{0: c}
	e.begin(l)
	return l, e, c
}

func response(id uint64, failed bool, payload string) []byte {
	flag := byte(messageResponse)
	if failed {
		flag |= flagError
	}
	return append([]byte{flag, byte(id&0x7f | 0x80), byte(id >> 7)}, payload...)
}

func TestAPayloadThatDiffersIsWrong(t *testing.T) {
	l, e, c := asking(t)
	e.message(l, c, response(1<<slotBits, false, "b"), 5)
	e.message(l, c, response(2<<slotBits, true, "a"), 5)
	e.message(l, c, response(2<<slotBits, false, "a"), 5)
	e.message(l, c, response(3<<slotBits, false, "a"), 5)
	r := l.report
	if r.Wrong != 1 || r.Errors != 1 || r.Late != 1 || r.Served != 1 || l.seen.total != 1 {
		t.Errorf("%+v, counted %d", r, l.seen.total)
	}
}

func TestWhatIsAwaitedAtTheEndIsNotCountedButMustCome(t *testing.T) {
	l, e, c := asking(t)
	l.until = 3
	if e.missing(l) != 1 {
		t.Errorf("%d missing", e.missing(l))
	}
	e.message(l, c, response(1<<slotBits, false, "a"), 5)
	if e.missing(l) != 0 || l.report.Served != 1 || l.seen.total != 0 {
		t.Errorf("%+v, counted %d", l.report, l.seen.total)
	}
	e.message(l, c, response(1<<slotBits, false, "a"), 6)
	if l.report.Late != 1 {
		t.Errorf("answered twice: %+v", l.report)
	}
}

// quiet shakes hands and says nothing more.
func quiet(listener net.Listener) {
	for {
		socket, err := listener.Accept()
		if err != nil {
			return
		}
		var plain writer
		_, _ = socket.Write(plain.control(nil, packetHandshake, `{"code":200}`))
	}
}

func TestAnAnswerThatNeverComesIsLost(t *testing.T) {
	listener := listening(t)
	go quiet(listener)
	p := planned(t, "--addr", listener.Addr().String(), "--connections=1", "--in-flight=2",
		"--window=300ms", "--patience=100ms")
	got, err := p.run()
	if err != nil || got.Lost < 4 || got.Answers != 0 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestIdleConnectionsAreAskedWhetherTheyLive(t *testing.T) {
	watch := []string{"--kind=idle", "--watch", pid(), "--window=10ms", "--patience=500ms"}
	got, err := planned(t, append(watch, "--addr", served(t))...).run()
	if err != nil || got.Served != 5 || faults(got) != 0 || got.Before <= 0 || got.After <= 0 {
		t.Errorf("%+v, %v", got, err)
	}
	listener := listening(t)
	go quiet(listener)
	got, err = planned(t, append(watch, "--addr", listener.Addr().String())...).run()
	if err != nil || got.Served != 0 || got.Lost != 5 {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestTheServersWorkIsRead(t *testing.T) {
	var w watched
	if err := w.Set(pid() + "," + pid()); err != nil {
		t.Fatal(err)
	}
	until := time.Now().Add(time.Minute)
	for one := (work{}); one.user+one.system == 0; {
		var err error
		if one, err = w.work(); err != nil || time.Now().After(until) {
			t.Fatalf("%+v, %v", one, err)
		}
	}
	if w.Set("x") == nil || w.Set("0") == nil {
		t.Error("took what is no process id")
	}
	if _, err := (watched{1 << 30}).work(); err == nil {
		t.Error("read a process that is none")
	}
}

func pid() string { return strconv.Itoa(os.Getpid()) }

func TestPacketsAreFoundHoweverTheStreamIsCut(t *testing.T) {
	w := &writer{ws: true}
	whole := w.request(w.request(nil, []byte("a.b"), 300, []byte("payload")), []byte("a.b"), 5, []byte("payload"))
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
		c, found := &conn{ws: true}, 0
		count := func(byte, []byte) error { found++; return nil }
		if err := c.take(unmasked[:cut], count); err != nil {
			t.Fatal(err)
		}
		if err := c.take(unmasked[cut:], count); err != nil {
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

// Command load asks one server as fast as it answers, and says how fast that was.
//
// Of three kinds: requests in a closed loop, where every connection keeps a fixed
// number in flight and sends the next when an answer has come; a room, where one of
// the connections speaks and all of them hear it; and idle connections, of which the
// server's memory is told. Everything that comes is checked: ids, error flags, routes,
// payloads, the order in a room. The result is one line of JSON on standard output.
//
// One thread and epoll, no goroutine per connection: on a machine with few cores the
// generator must cost less than what it measures. "load bare" is a server that does
// nearly nothing, to find the generator's own limit.
package main

import (
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

const usage = `load measures what one server does in a second.

  load --addr HOST:PORT [--ws /] [--connections 50] [--in-flight 1]
  load --addr HOST:PORT --kind room [--connections 200] [--in-flight 4]
  load --addr HOST:PORT --kind idle --watch PID [--connections 10000]
  load bare --listen HOST:PORT      a server that does almost nothing: the ceiling

Options of a measurement:
`

// The kinds of load.
const (
	requests = "requests"
	inRoom   = "room"
	idle     = "idle"
)

// plan is what one run does.
type plan struct {
	kind        string
	addr        string
	host        string
	ws          string
	tls         *tls.Config
	route       string
	join        string
	heard       string
	text        string
	serializer  string
	connections int
	inFlight    int
	watch       watched
	warmup      time.Duration
	window      time.Duration
	patience    time.Duration
}

func main() {
	var err error
	if len(os.Args) > 1 && os.Args[1] == "bare" {
		err = bare(os.Args[2:])
	} else {
		err = measure(os.Args[1:])
	}
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "load:", err)
		os.Exit(1)
	}
}

func parse(arguments []string) (*plan, error) {
	p := &plan{}
	var ca string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&p.kind, "kind", requests, "requests, room or idle")
	flags.StringVar(&p.addr, "addr", "", "the server's client address, host:port")
	flags.StringVar(&p.ws, "ws", "", "path of a WebSocket, such as /; empty means TCP")
	flags.StringVar(&ca, "ca", "", "speak TLS, and believe a server whose certificate this file signed")
	flags.StringVar(&p.route, "route", "EchoService.echo", "route to ask; of a room, where it hears messages")
	flags.StringVar(&p.join, "join", "RoomService.join", "route by which a connection enters the room")
	flags.StringVar(&p.heard, "heard", "onSay", "route by which a room's messages come")
	flags.StringVar(&p.text, "text", "0123456789abcdef", "what is sent, and must come back; 127 bytes at most. In a room: numbers")
	flags.StringVar(&p.serializer, "serializer", "json", `json: {"text": …}; protobuf: a google.protobuf.StringValue`)
	flags.IntVar(&p.connections, "connections", 50, "connections")
	flags.IntVar(&p.inFlight, "in-flight", 1, "requests in flight on each connection, or messages to a room, 1 to 256")
	flags.Var(&p.watch, "watch", "ids of the server's processes, separated by commas: their processor time in the window is told")
	flags.DurationVar(&p.warmup, "warmup", 700*time.Millisecond, "time before counting starts")
	flags.DurationVar(&p.window, "window", 1400*time.Millisecond, "time of counting, 10m at most; of idleness")
	flags.DurationVar(&p.patience, "patience", 2*time.Second, "after this an answer counts as lost and the next request goes out")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if err := p.check(); err != nil {
		return nil, err
	}
	var err error
	if p.host, _, err = net.SplitHostPort(p.addr); err != nil {
		return nil, fmt.Errorf("--addr: %w", err)
	}
	if ca != "" {
		p.tls, err = authority(ca)
	}
	return p, err
}

func (p *plan) check() error {
	switch {
	case p.kind != requests && p.kind != inRoom && p.kind != idle:
		return fmt.Errorf("--kind %q: use requests, room or idle", p.kind)
	case p.addr == "":
		return errors.New("--addr is missing: give the server's client address")
	case p.connections < 1:
		return errors.New("--connections must be 1 or more")
	case p.inFlight < 1 || p.inFlight > maxSlots:
		return fmt.Errorf("--in-flight must be 1 to %d", maxSlots)
	case p.window <= 0 || p.window > 10*time.Minute || p.warmup < 0 || p.warmup > time.Minute:
		return errors.New("--window must be above 0 and at most 10m, --warmup at most 1m")
	case len(p.route) > 255 || len(p.join) > 255:
		return errors.New("--route and --join have 255 bytes at most")
	case p.kind == idle && len(p.watch) == 0:
		return errors.New("--watch is missing: whose memory?")
	}
	_, err := payload(p.serializer, p.text)
	return err
}

// shape is what the connections do; idle ones show at the end that they are alive.
func (p *plan) shape() shape {
	if p.kind == inRoom {
		return &room{
			join: []byte(p.join), say: []byte(p.route), heard: []byte(p.heard),
			serializer: p.serializer, ahead: uint64(p.inFlight),
		}
	}
	return &echoes{
		route: []byte(p.route), payload: must(payload(p.serializer, p.text)), inFlight: p.inFlight,
	}
}

func measure(arguments []string) error {
	p, err := parse(arguments)
	if err != nil {
		return err
	}
	raiseFileLimit()
	runtime.LockOSThread()
	debug.SetGCPercent(-1) // hardly anything is allocated once the loop runs
	debug.SetMemoryLimit(512 << 20)
	result, err := p.run()
	if err != nil {
		return err
	}
	return json.NewEncoder(os.Stdout).Encode(result)
}

// Command load asks one server as fast as it answers, and says how fast that was.
//
// A closed loop: every connection keeps a fixed number of requests in flight and
// sends the next when an answer has come. Each answer is checked: its id, its error
// flag, its payload. The result is one line of JSON on standard output.
//
// One thread and epoll, no goroutine per connection: on a machine with few cores the
// generator must cost less than what it measures. "load bare" is a server that does
// nearly nothing, to find the generator's own limit.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"time"
)

const usage = `load measures closed-loop requests per second of one server.

  load --addr HOST:PORT [--ws /] [--serializer json|protobuf] [--connections 50] [--in-flight 1]
  load bare --listen HOST:PORT      a server that does almost nothing: the ceiling

Options of a measurement:
`

// plan is what one run does.
type plan struct {
	addr        string
	ws          string
	route       string
	payload     []byte
	watch       watched
	connections int
	inFlight    int
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
	var text, serializer string
	flags := flag.NewFlagSet("load", flag.ContinueOnError)
	flags.Usage = func() {
		fmt.Fprint(os.Stderr, usage)
		flags.PrintDefaults()
	}
	flags.StringVar(&p.addr, "addr", "", "the server's client address, host:port")
	flags.StringVar(&p.ws, "ws", "", "path of a WebSocket, such as /; empty means TCP")
	flags.StringVar(&p.route, "route", "EchoService.echo", "route to ask")
	flags.StringVar(&text, "text", "0123456789abcdef", "what is sent, and must come back; 127 bytes at most")
	flags.StringVar(&serializer, "serializer", "json", `json: {"text": …}; protobuf: a google.protobuf.StringValue`)
	flags.IntVar(&p.connections, "connections", 50, "connections")
	flags.IntVar(&p.inFlight, "in-flight", 1, "requests in flight on each connection, 1 to 256")
	flags.DurationVar(&p.warmup, "warmup", 700*time.Millisecond, "time before counting starts")
	flags.DurationVar(&p.window, "window", 1400*time.Millisecond, "time of counting, 10m at most")
	flags.Var(&p.watch, "watch", "ids of the server's processes, separated by commas: their processor time in the window is told")
	flags.DurationVar(&p.patience, "patience", 2*time.Second, "after this an answer counts as lost and the next request goes out")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	switch {
	case p.addr == "":
		return nil, errors.New("--addr is missing: give the server's client address")
	case p.connections < 1:
		return nil, errors.New("--connections must be 1 or more")
	case p.inFlight < 1 || p.inFlight > maxSlots:
		return nil, fmt.Errorf("--in-flight must be 1 to %d", maxSlots)
	case p.window <= 0 || p.window > 10*time.Minute || p.warmup < 0 || p.warmup > time.Minute:
		return nil, errors.New("--window must be above 0 and at most 10m, --warmup at most 1m")
	case len(p.route) > 255:
		return nil, errors.New("--route is longer than 255 bytes")
	}
	var err error
	p.payload, err = payload(serializer, text)
	return p, err
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

// Package node turns a command line into one running nano node.
package node

import (
	"errors"
	"flag"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

// options is one node's command line.
type options struct {
	role       string
	listen     string
	master     string
	client     string
	ws         bool
	wsPath     string
	label      string
	service    string
	pick       string
	heartbeat  time.Duration
	retry      time.Duration
	serializer string
	dict       dictionary
	nodeID     uint64
	debug      bool
	pipeline   bool
	calls      bool
	bench      bool
	cert       string
	key        string
}

// dictionary is nano's route table, given as "route=code,route=code".
type dictionary map[string]uint16

func (d dictionary) String() string { return fmt.Sprint(map[string]uint16(d)) }

func (d dictionary) Set(text string) error {
	for _, entry := range strings.Split(text, ",") {
		route, number, found := strings.Cut(entry, "=")
		code, err := strconv.ParseUint(number, 10, 16)
		if !found || err != nil {
			return fmt.Errorf("%q is not route=code with a code of 0 to 65535", entry)
		}
		d[route] = uint16(code)
	}
	return nil
}

func parse(role string, arguments []string) (*options, error) {
	o := &options{role: role, dict: dictionary{}}
	flags := flag.NewFlagSet("peer "+role, flag.ContinueOnError)
	flags.SetOutput(os.Stderr)
	flags.StringVar(&o.listen, "listen", "", "cluster address host:port; of a single node, where clients connect")
	flags.StringVar(&o.master, "master", "", "the master's address (backend and gate)")
	flags.StringVar(&o.client, "client", "", "where clients connect (master and gate)")
	flags.BoolVar(&o.ws, "ws", false, "clients speak WebSocket instead of TCP")
	flags.StringVar(&o.wsPath, "ws-path", "/nano", "path of the WebSocket")
	flags.StringVar(&o.label, "label", role, "label in the member list")
	flags.StringVar(&o.service, "service", "ChatService", "name under which a backend offers its chat service")
	flags.StringVar(&o.pick, "pick", "", "which member serves a session: first, uid (modulo) or nil (none); empty is nano's random choice")
	flags.DurationVar(&o.heartbeat, "heartbeat", 30*time.Second, "interval towards clients and the master")
	flags.DurationVar(&o.retry, "retry", 0, "pause between attempts to register; 0 is nano's 3s")
	flags.StringVar(&o.serializer, "serializer", "json", "json or protobuf")
	flags.Var(o.dict, "dict", "route dictionary, route=code,...")
	flags.Uint64Var(&o.nodeID, "node-id", 0, "node part of session ids; 0 is nano's choice, the process id")
	flags.BoolVar(&o.debug, "debug", false, "nano's debug log")
	flags.BoolVar(&o.pipeline, "pipeline", false, "log every message with PIPE in and PIPE out")
	flags.BoolVar(&o.calls, "calls", false, "log every call to another node with RPC")
	flags.BoolVar(&o.bench, "bench", false, "only EchoService and, with protobuf, RoomService, and no log: what the bench measures")
	flags.StringVar(&o.cert, "cert", "", "certificate file for WebSocket over TLS")
	flags.StringVar(&o.key, "key", "", "key file for WebSocket over TLS")
	if err := flags.Parse(arguments); err != nil {
		return nil, err
	}
	if flags.NArg() > 0 {
		return nil, fmt.Errorf("unexpected argument %q", flags.Arg(0))
	}
	return o, o.check()
}

func (o *options) check() error {
	member := o.role == "backend" || o.role == "gate"
	switch {
	case o.listen == "":
		return errors.New("--listen is missing: give the address of this node")
	case member && o.master == "":
		return fmt.Errorf("--master is missing: a %s registers with one", o.role)
	case o.role == "gate" && o.client == "":
		return errors.New("--client is missing: a gate is where clients connect")
	case o.serializer != "json" && o.serializer != "protobuf":
		return fmt.Errorf("--serializer %q: use json or protobuf", o.serializer)
	}
	if _, known := picks[o.pick]; !known {
		return fmt.Errorf("--pick %q: use first, uid or nil", o.pick)
	}
	return nil
}

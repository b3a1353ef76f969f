// Package smoke checks a gate as a client sees it, and says what failed.
package smoke

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"nanocluster/peers/internal/wire"
)

// target is the server under test.
type target struct {
	address string
	path    string
	echo    string
	hex     bool
}

// check is one sentence about the server; it is false when run fails.
type check struct {
	name string
	run  func(t target) error
}

// Run connects and checks everything that applies.
func Run(arguments []string) error {
	var t target
	var ws, wireOnly bool
	flags := flag.NewFlagSet("peer client", flag.ContinueOnError)
	flags.StringVar(&t.address, "addr", "", "the gate's client address, host:port")
	flags.BoolVar(&ws, "ws", false, "speak WebSocket instead of TCP")
	flags.StringVar(&t.path, "ws-path", "/nano", "path of the WebSocket")
	flags.StringVar(&t.echo, "echo", "ChatService.Echo", "route whose answer is the JSON that was sent")
	flags.BoolVar(&wireOnly, "wire-only", false, "need no service but the echo: for servers that are not a peer")
	flags.BoolVar(&t.hex, "hex", false, "log every packet")
	if err := flags.Parse(arguments); err != nil {
		if errors.Is(err, flag.ErrHelp) {
			return nil
		}
		return err
	}
	if t.address == "" {
		return errors.New("--addr is missing: give the gate's client address")
	}
	if !ws {
		t.path = ""
	}
	checks := wireChecks
	if !wireOnly {
		checks = append(append([]check{}, wireChecks...), chatChecks...)
	}
	return t.all(checks)
}

func (t target) all(checks []check) error {
	failed := 0
	for _, c := range checks {
		if err := c.run(t); err != nil {
			failed++
			fmt.Fprintf(os.Stderr, "FAILED %s: %v\n", c.name, err)
			continue
		}
		fmt.Fprintf(os.Stderr, "ok     %s\n", c.name)
	}
	fmt.Fprintf(os.Stderr, "CHECKED %d, failed %d\n", len(checks), failed)
	if failed > 0 {
		return fmt.Errorf("%d of %d checks failed", failed, len(checks))
	}
	return nil
}

// with runs a check on a fresh connection that has shaken hands.
func with(run func(c *wire.Conn) error) func(t target) error {
	return func(t target) error {
		c, err := wire.Connect(t.address, t.path, t.hex)
		if err != nil {
			return err
		}
		defer c.Close()
		return run(c)
	}
}

func same(got, want string) error {
	if got != want {
		return fmt.Errorf("got %q, want %q", got, want)
	}
	return nil
}

// Command peer is a real nano node, and a client, for tests and the bench.
//
// It uses nano's public API only and pins the release that users run, so what
// is seen beside it is what they will see. One binary plays every role; its
// log on standard error is the evidence that tests read (README.md has the words).
package main

import (
	"fmt"
	"os"

	"nanocluster/peers/internal/node"
	"nanocluster/peers/internal/smoke"
)

const usage = `peer plays one nano node, or a client that checks one.

  peer master  --listen ADDR [--client ADDR] [--ws]
  peer backend --listen ADDR --master ADDR [--label NAME] [--service NAME]
  peer gate    --listen ADDR --master ADDR --client ADDR [--ws] [--pick first|uid|nil]
  peer single  --listen ADDR [--ws]
  peer client  --addr ADDR [--ws] [--hex]

ADDR is host:port. "peer ROLE -h" lists every option of a role.
`

func main() {
	if len(os.Args) < 2 {
		fail(usage)
	}
	var err error
	switch role := os.Args[1]; role {
	case "master", "backend", "gate", "single":
		err = node.Run(role, os.Args[2:])
	case "client":
		err = smoke.Run(os.Args[2:])
	default:
		fail(fmt.Sprintf("peer: no role %q\n\n%s", role, usage))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "peer:", err)
		os.Exit(1)
	}
}

func fail(text string) {
	fmt.Fprint(os.Stderr, text)
	os.Exit(2)
}

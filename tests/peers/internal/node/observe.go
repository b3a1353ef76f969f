package node

import (
	"context"
	"errors"
	"fmt"
	"log"
	"os"
	"strings"

	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/cluster/clusterpb"
	"github.com/lonng/nano/pipeline"
	"github.com/lonng/nano/session"
	"google.golang.org/grpc"
	"google.golang.org/grpc/status"
)

// refused is the handshake body that the validator turns away.
const refused = "reject-me"

func validate(body []byte) error {
	if string(body) == refused {
		return errors.New("the handshake asked to be refused")
	}
	return nil
}

// observed is a pipeline that changes nothing and logs each message.
func observed() pipeline.Pipeline {
	both := pipeline.New()
	both.Inbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
		log.Printf("PIPE in sid=%d route=%s bytes=%d", s.ID(), m.Route, len(m.Data))
		return nil
	})
	both.Outbound().PushBack(func(s *session.Session, m *pipeline.Message) error {
		log.Printf("PIPE out sid=%d route=%s id=%d bytes=%d", s.ID(), m.Route, m.ID, len(m.Data))
		return nil
	})
	return both
}

// logCall shows what a node asks of another one, and what came of it.
func logCall(ctx context.Context, method string, request, reply interface{},
	to *grpc.ClientConn, invoke grpc.UnaryInvoker, options ...grpc.CallOption) error {
	err := invoke(ctx, method, request, reply, to, options...)
	log.Printf("RPC %s to=%s status=%s", method, to.Target(), status.Code(err))
	return err
}

// picks are the values of --pick; the empty one leaves the choice to nano.
var picks = map[string]cluster.CustomerRemoteServiceRoute{
	"": nil,
	"first": logged(func(_ *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
		return members[0]
	}),
	"uid": logged(func(s *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
		return members[int(s.UID())%len(members)]
	}),
	"nil": logged(func(*session.Session, []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
		return nil
	}),
}

type choice func(*session.Session, []*clusterpb.MemberInfo) *clusterpb.MemberInfo

// logged shows what nano offered and what was taken: the only public view of a
// node's member table.
func logged(choose choice) cluster.CustomerRemoteServiceRoute {
	return func(service string, s *session.Session, members []*clusterpb.MemberInfo) *clusterpb.MemberInfo {
		addresses := make([]string, len(members))
		for i, member := range members {
			addresses[i] = member.ServiceAddr
		}
		picked := choose(s, members)
		log.Printf("PICK service=%s addr=%s of=%s", service, picked.GetServiceAddr(), strings.Join(addresses, ","))
		return picked
	}
}

// silent is nano's logger during a measurement; what ends the process is still told.
type silent struct{}

func (silent) Println(...interface{}) {}

func (silent) Fatal(values ...interface{}) {
	fmt.Fprintln(os.Stderr, values...)
	os.Exit(1)
}

func (silent) Fatalf(format string, values ...interface{}) {
	fmt.Fprintf(os.Stderr, format+"\n", values...)
	os.Exit(1)
}

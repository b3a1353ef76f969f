package node

import (
	"errors"
	"flag"
	"log"
	"strings"

	"github.com/lonng/nano"
	"github.com/lonng/nano/cluster"
	"github.com/lonng/nano/component"
	"github.com/lonng/nano/serialize/json"
	"github.com/lonng/nano/serialize/protobuf"
	"github.com/lonng/nano/session"
	"google.golang.org/grpc"

	"nanocluster/peers/internal/services"
)

// Run plays the role until a signal stops it.
func Run(role string, arguments []string) error {
	o, err := parse(role, arguments)
	if errors.Is(err, flag.ErrHelp) {
		return nil
	}
	if err != nil {
		return err
	}
	log.SetFlags(log.Ltime | log.Lmicroseconds)
	log.Printf("STARTING role=%s listen=%s master=%s client=%s ws=%t serializer=%s",
		o.role, o.listen, o.master, o.client, o.ws, o.serializer)
	insist()
	startAgainIfLost()
	session.Lifetime.OnClosed(func(s *session.Session) {
		if !o.bench {
			log.Printf("CLOSED sid=%d uid=%d", s.ID(), s.UID())
		}
	})
	nano.Listen(o.listen, o.nano()...)
	log.Printf("STOPPED role=%s listen=%s", o.role, o.listen)
	return nil
}

// nano translates the command line into nano's own options.
func (o *options) nano() []nano.Option {
	list := []nano.Option{
		nano.WithComponents(o.components()),
		nano.WithHeartbeatInterval(o.heartbeat),
		nano.WithHandshakeValidator(validate),
		nano.WithLabel(o.label),
		nano.WithIsWebsocket(o.ws),
		nano.WithWSPath(o.wsPath),
		nano.WithUnregisterCallback(func(m cluster.Member) {
			log.Printf("UNREGISTERED addr=%s label=%s", m.MemberInfo().ServiceAddr, m.MemberInfo().Label)
		}),
	}
	if o.serializer == "json" {
		list = append(list, nano.WithSerializer(json.NewSerializer()))
	} else {
		list = append(list, nano.WithSerializer(protobuf.NewSerializer()))
	}
	if o.role == "master" {
		list = append(list, nano.WithMaster())
	}
	if o.master != "" {
		list = append(list, nano.WithAdvertiseAddr(o.master, o.retry))
	}
	if o.client != "" {
		list = append(list, nano.WithClientAddr(o.client))
	}
	if route := picks[o.pick]; route != nil {
		list = append(list, nano.WithCustomerRemoteServiceRoute(route))
	}
	if len(o.dict) > 0 {
		list = append(list, nano.WithDictionary(o.dict))
	}
	if o.nodeID > 0 {
		list = append(list, nano.WithNodeId(o.nodeID))
	}
	if o.pipeline {
		list = append(list, nano.WithPipeline(observed()))
	}
	if o.calls {
		list = append(list, nano.WithGrpcOptions(grpc.WithUnaryInterceptor(logCall)))
	}
	if o.cert != "" {
		list = append(list, nano.WithTSLConfig(o.cert, o.key))
	}
	if o.debug {
		list = append(list, nano.WithDebugMode())
	}
	if o.bench {
		list = append(list, nano.WithLogger(silent{}))
	}
	return list
}

// components are the services of the role: with --bench the echo alone.
func (o *options) components() *component.Components {
	list := &component.Components{}
	serves := o.role == "backend" || o.role == "single"
	switch {
	case o.bench:
		if serves {
			o.registerBench(list)
		}
		return list
	case o.serializer == "protobuf":
		if serves {
			list.Register(services.NewPb(o.listen))
		}
		return list
	}
	if serves {
		list.Register(services.NewChat(o.listen, o.label), component.WithName(o.service))
	}
	if o.role == "gate" || o.role == "single" {
		list.Register(services.NewGate(o.listen, o.label))
	}
	if o.role == "master" {
		list.Register(services.NewMaster(o.listen, o.label))
	}
	return list
}

// registerBench adds what the bench asks; rooms are measured with protobuf alone.
func (o *options) registerBench(list *component.Components) {
	lower := component.WithNameFunc(strings.ToLower)
	if o.serializer == "json" {
		list.Register(&services.EchoService{}, lower)
		return
	}
	list.Register(&services.PbEchoService{}, component.WithName("EchoService"), lower)
	list.Register(services.NewRoom(), lower)
}

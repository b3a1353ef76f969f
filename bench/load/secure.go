package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
)

// secure is TLS on a socket that belongs to epoll: crypto/tls reads from and writes
// to memory, and is told to come again when there is nothing more.
type secure struct {
	*tls.Conn
	below *memory
	part  []byte
}

// memory is what crypto/tls takes for its socket. While hands are shaken it is one.
type memory struct {
	net.Conn
	adopted bool
	in      bytes.Buffer
	out     []byte
}

// nothing says that there are no bytes yet; crypto/tls goes on after such an error.
type nothing struct{}

func (nothing) Error() string   { return "no bytes yet" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

func (m *memory) Read(into []byte) (int, error) {
	if !m.adopted {
		return m.Conn.Read(into)
	}
	if m.in.Len() == 0 {
		return 0, nothing{}
	}
	return m.in.Read(into)
}

func (m *memory) Write(data []byte) (int, error) {
	if !m.adopted {
		return m.Conn.Write(data)
	}
	m.out = append(m.out, data...)
	return len(data), nil
}

// authority reads the certificates that a server's is signed by.
func authority(file string) (*tls.Config, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM(text) {
		return nil, fmt.Errorf("--ca %s: no certificate in it", file)
	}
	return &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, nil
}

// wrap makes TLS of a socket.
func wrap(socket net.Conn, host string, config *tls.Config) *secure {
	below := &memory{Conn: socket}
	config = config.Clone()
	config.ServerName = host
	return &secure{Conn: tls.Client(below, config), below: below, part: make([]byte, 4096)}
}

// open gives what *data* was before it was encrypted, appended to out.
func (s *secure) open(data, out []byte) ([]byte, error) {
	s.below.in.Write(data)
	for {
		n, err := s.Read(s.part)
		out = append(out, s.part[:n]...)
		if _, again := err.(nothing); again {
			return out, nil
		}
		if err != nil {
			return out, err
		}
	}
}

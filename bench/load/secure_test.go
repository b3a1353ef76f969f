package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// signed makes a certificate for this host, and a file by which it is believed.
func signed(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	wanted := &x509.Certificate{
		SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, wanted, wanted, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "ca.pem")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, file
}

func TestAnswersComeThroughTLS(t *testing.T) {
	certificate, file := signed(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	listener := tls.NewListener(listening(t), config)
	go func() { _ = accept(listener) }()
	for _, inFlight := range []string{"1", "256"} {
		p := planned(t, "--addr", listener.Addr().String(), "--ca", file, "--in-flight", inFlight)
		got, err := p.run()
		if err != nil || got.Answers == 0 || faults(got) != 0 {
			t.Errorf("in flight %s: %+v, %v", inFlight, got, err)
		}
	}
}

func TestAServerThatNobodyVouchesForIsNotBelieved(t *testing.T) {
	certificate, _ := signed(t)
	_, other := signed(t)
	config := &tls.Config{Certificates: []tls.Certificate{certificate}}
	listener := tls.NewListener(listening(t), config)
	go func() { _ = accept(listener) }()
	if got, err := planned(t, "--addr", listener.Addr().String(), "--ca", other).run(); err == nil {
		t.Errorf("%+v", got)
	}
}

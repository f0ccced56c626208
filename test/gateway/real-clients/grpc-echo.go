// A gRPC server that echoes, and a client that keeps it busy: what the tests of real clients run. Both are the library as it
// comes, with its own estimate of the bandwidth, which costs a PING for each round trip of a busy connection.
//
//	grpc-echo serve CERTIFICATE KEY          prints its port; wants API_TOKEN of its environment as a bearer token
//	grpc-echo chat HOST AHEAD SECONDS PINGS  sends so many messages ahead of their echoes, for so long, and until it has sent so
//	                                         many pings; prints what it did as JSON
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/golang/protobuf/ptypes/wrappers"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const (
	streams      = 4
	messageBytes = 1024
)

var chat = grpc.StreamDesc{StreamName: "Chat", ServerStreams: true, ClientStreams: true, Handler: echo}

func main() {
	var err error
	if os.Args[1] == "serve" {
		err = serve(os.Args[2], os.Args[3])
	} else {
		err = keepBusy(os.Args[2], number(os.Args[3]), number(os.Args[4]), number(os.Args[5]))
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func number(text string) int64 {
	value, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		panic(err)
	}
	return value
}

func serve(certificate, key string) error {
	tls, err := credentials.NewServerTLSFromFile(certificate, key)
	if err != nil {
		return err
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("port", listener.Addr().(*net.TCPAddr).Port)
	server := grpc.NewServer(grpc.Creds(tls))
	server.RegisterService(&grpc.ServiceDesc{
		ServiceName: "test.Echo",
		HandlerType: (*interface{})(nil),
		Streams:     []grpc.StreamDesc{chat},
	}, nil)
	return server.Serve(listener)
}

func echo(_ interface{}, stream grpc.ServerStream) error {
	head, _ := metadata.FromIncomingContext(stream.Context())
	if got := head.Get("authorization"); len(got) != 1 || got[0] != "Bearer "+os.Getenv("API_TOKEN") {
		return status.Error(codes.Unauthenticated, "the token is wrong")
	}
	var message wrappers.BytesValue
	for {
		if err := stream.RecvMsg(&message); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
		if err := stream.SendMsg(&message); err != nil {
			return err
		}
	}
}

// work is what all streams of a client have done together.
type work struct {
	Messages int64   `json:"messages"`
	Pings    int64   `json:"pings"`
	Seconds  float64 `json:"seconds"`
}

func keepBusy(host string, ahead, seconds, pings int64) error {
	var done work
	// No pool: the system's roots, which SSL_CERT_FILE names.
	tls := counting{credentials.NewClientTLSFromCert(nil, ""), &done.Pings}
	connection, err := grpc.Dial(host+":443", grpc.WithTransportCredentials(tls))
	if err != nil {
		return err
	}
	began := time.Now()
	isEnough := func() bool {
		return time.Since(began).Seconds() >= float64(seconds) && atomic.LoadInt64(&done.Pings) >= pings
	}
	results := make(chan error, streams)
	for i := 0; i < streams; i++ {
		go func() { results <- talk(connection, ahead, isEnough, &done.Messages) }()
	}
	for i := 0; i < streams; i++ {
		if err := <-results; err != nil {
			return fmt.Errorf("after %.1f s, %d messages and %d pings: %w",
				time.Since(began).Seconds(), atomic.LoadInt64(&done.Messages), atomic.LoadInt64(&done.Pings), err)
		}
	}
	done.Seconds = time.Since(began).Seconds()
	return json.NewEncoder(os.Stdout).Encode(done)
}

// talk sends numbered messages as fast as they are taken, and wants each of them back in turn.
func talk(connection *grpc.ClientConn, ahead int64, isEnough func() bool, messages *int64) error {
	head := metadata.Pairs("authorization", "Bearer "+os.Getenv("API_TOKEN"))
	stream, err := connection.NewStream(metadata.NewOutgoingContext(context.Background(), head), &chat, "/test.Echo/Chat")
	if err != nil {
		return err
	}
	underWay := make(chan struct{}, ahead)
	sent := make(chan uint64, 1)
	go func() {
		var number uint64
		for ; !isEnough(); number++ {
			underWay <- struct{}{}
			message := wrappers.BytesValue{Value: make([]byte, messageBytes)}
			binary.BigEndian.PutUint64(message.Value, number)
			// The reason of a failure is what the other direction gets.
			if stream.SendMsg(&message) != nil {
				break
			}
		}
		stream.CloseSend()
		sent <- number
	}()
	var received uint64
	for ; ; received++ {
		var message wrappers.BytesValue
		if err := stream.RecvMsg(&message); err == io.EOF {
			break
		} else if err != nil {
			return err
		}
		if binary.BigEndian.Uint64(message.Value) != received || len(message.Value) != messageBytes {
			return errors.New("a message came back changed or out of turn")
		}
		atomic.AddInt64(messages, 1)
		<-underWay
	}
	if count := <-sent; count != received {
		return fmt.Errorf("%d messages of %d came back", received, count)
	}
	return nil
}

// counting counts the pings that a client sends inside its TLS.
type counting struct {
	credentials.TransportCredentials
	pings *int64
}

func (c counting) ClientHandshake(ctx context.Context, authority string, raw net.Conn) (net.Conn, credentials.AuthInfo, error) {
	connection, info, err := c.TransportCredentials.ClientHandshake(ctx, authority, raw)
	// What comes before the first frame.
	return &frames{Conn: connection, skip: len("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), pings: c.pings}, info, err
}

func (c counting) Clone() credentials.TransportCredentials {
	return counting{c.TransportCredentials.Clone(), c.pings}
}

// frames looks at the heads of the frames that are written (RFC 9113, section 4.1).
type frames struct {
	net.Conn
	skip  int
	head  []byte
	pings *int64
}

const (
	headBytes = 9
	typePing  = 6
	flagAck   = 1
)

func (f *frames) Write(bytes []byte) (int, error) {
	for _, each := range bytes {
		if f.skip > 0 {
			f.skip--
			continue
		}
		f.head = append(f.head, each)
		if len(f.head) < headBytes {
			continue
		}
		f.skip = int(f.head[0])<<16 | int(f.head[1])<<8 | int(f.head[2])
		if f.head[3] == typePing && f.head[4]&flagAck == 0 {
			atomic.AddInt64(f.pings, 1)
		}
		f.head = f.head[:0]
	}
	return f.Conn.Write(bytes)
}

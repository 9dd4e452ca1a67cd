package etcd

import (
	"context"

	"google.golang.org/grpc"
)

// streams ends the open watches of a member that stops. Without it, etcd waits
// seconds for its clients to end them.
type streams struct {
	closing context.Context // ends when the member stops
	end     context.CancelFunc
}

func newStreams(ctx context.Context) *streams {
	closing, end := context.WithCancel(context.WithoutCancel(ctx))
	return &streams{closing: closing, end: end}
}

// option returns how a server is told of s.
func (s *streams) option() grpc.ServerOption {
	return grpc.ChainStreamInterceptor(func(srv any, stream grpc.ServerStream, _ *grpc.StreamServerInfo, handle grpc.StreamHandler) error {
		ctx, cancel := context.WithCancel(stream.Context())
		defer cancel()
		defer context.AfterFunc(s.closing, cancel)()
		return handle(srv, boundStream{ServerStream: stream, ctx: ctx})
	})
}

// boundStream is a stream with a shorter life.
type boundStream struct {
	grpc.ServerStream
	ctx context.Context
}

// Context returns the context of the stream.
func (b boundStream) Context() context.Context { return b.ctx }

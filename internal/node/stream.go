package node

import (
	"context"
	"io"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/hub"
)

// Stream is the events of a job, for one reader.
type Stream struct {
	log   *hub.Log
	after ringback.EventID
	queue []ringback.StreamEvent // to be read before those of the log
	leave func()
}

// Stream opens the events of a job behind after, also one that has ended: it gives
// the same ones then. The stream must be closed. Errors: not found; gone, when its
// content is deleted.
//
// Local is for other nodes: it gives what an attempt of this process writes, and
// ends with it; not found, if none does.
func (n *Node) Stream(ctx context.Context, project, id string, after ringback.EventID, local bool) (*Stream, error) {
	return nil, io.EOF
}

// Next waits for events, and gives those that are there, some hundred at most. Behind
// the one that ends the job it gives io.EOF.
func (s *Stream) Next(ctx context.Context) ([]ringback.StreamEvent, error) {
	return nil, io.EOF
}

// Close must be called once. Who closes it before the end has left: see
// ringback.DisconnectCancel.
func (s *Stream) Close() {}

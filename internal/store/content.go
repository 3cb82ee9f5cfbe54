package store

import (
	"context"

	"github.com/google/uuid"
)

// ContentReader reads what is stored apart from the rows. No read delays a move.
type ContentReader interface {
	// Content reads the given parts of a job's content, in any project: for a caller that
	// holds a claim on the job.
	Content(ctx context.Context, id uuid.UUID, parts Parts) (Content, error)
	// Blob reads one part of a job's content as stored, or the body of a delivery; the zero
	// Blob if there is none. It takes twice its size in memory.
	Blob(ctx context.Context, owner uuid.UUID, part Parts) (Blob, error)
	// Payload reads the bytes and headers of a delivery; ErrGone. It leaves out a large
	// body: Blob reads it.
	Payload(ctx context.Context, id uuid.UUID) (Payload, error)
}

// Parts selects content.
type Parts uint8

// The parts of a job's content.
const (
	PartRequest Parts = 1 << iota
	PartAnswer
	PartPartial
	PartWebhook
	PartEvents
	// PartPayload is the body of a delivery; only for Blob.
	PartPayload
	// LeaveLarge leaves out the bodies of LargeBody or more: Content.Left has their sizes,
	// and Blob reads them.
	LeaveLarge
)

// Limit returns the size up to which a body is read along with other things.
func (p Parts) Limit() int64 {
	if p&LeaveLarge != 0 {
		return LargeBody - 1
	}
	return maxBlob
}

// LargeBody is the size in bytes, packed or not, from which a body is large: it is read
// separately, by callers that have made sure that there is memory for it.
const LargeBody = 64 << 10

// Content is what is stored apart from the row.
type Content struct {
	Request []byte
	Answer  []byte
	Partial []byte
	// Events is the log of a streamed job, from the latest Outcome.Events.
	Events []byte
	// Webhook is the job's delivery, nil if it has none.
	Webhook *Delivery
	// Left are the stored sizes of the parts that LeaveLarge left out.
	Left map[Parts]int64
}

// Open unpacks a part that was read, or records that it was left out.
func (c *Content) Open(part, parts Parts, b Stored) (err error) {
	if parts&LeaveLarge != 0 && b.IsLarge() {
		if c.Left == nil {
			c.Left = map[Parts]int64{}
		}
		c.Left[part] = b.Packed
		return nil
	}
	text, err := b.Open()
	switch part {
	case PartRequest:
		c.Request = text
	case PartAnswer:
		c.Answer = text
	case PartPartial:
		c.Partial = text
	case PartEvents:
		c.Events = text
	}
	return err
}

// Payload is what a delivery sends.
type Payload struct {
	Body []byte // as it was made
	// Left is the stored size of a body that was left out; otherwise 0.
	Left int64
	// Header are the caller's callback_headers; nil for a delivery to another host than the
	// callback_url's.
	Header map[string]string
	// TraceParent and TraceState are the job's.
	TraceParent, TraceState string
	// Attempt is the job's last attempt that has ended; 0 if none has.
	Attempt int64
}

// Open unpacks the body, or records that it was left out.
func (p *Payload) Open(b Stored) (err error) {
	if b.IsLarge() {
		p.Left = b.Packed
		return nil
	}
	p.Body, err = b.Open()
	return err
}

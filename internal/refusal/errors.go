package refusal

import (
	"errors"

	"github.com/ringback/ringback"
	"github.com/ringback/ringback/internal/store"
)

// Unavailable returns the user's error if the store can't take or find anything for now;
// nil for any other error.
func Unavailable(err error) *ringback.Error {
	const again = 5
	switch {
	case errors.Is(err, store.ErrBusy):
		return &ringback.Error{Code: ringback.Unavailable, Message: "another program holds the server's database, or a part of it; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrFull):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server's disk is full; try again later", RetryAfterSeconds: 30}
	case errors.Is(err, store.ErrClosed):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the server is stopping; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnavailable):
		return &ringback.Error{Code: ringback.Unavailable, Message: "the database can't be reached; try again in a moment", RetryAfterSeconds: again}
	case errors.Is(err, store.ErrUnknown):
		return &ringback.Error{Code: ringback.Unavailable, RetryAfterSeconds: again, Message: "the database was lost in the middle of this: " +
			"it may be done or not; try again in a moment, a new job with the same Idempotency-Key, so that it is not made twice"}
	}
	return nil
}

// Read returns the user's error of a read for which there is no room.
func Read() *ringback.Error {
	return &ringback.Error{
		Code: ringback.Unavailable, RetryAfterSeconds: 2,
		Message: "the server is sending as much as its memory allows; try again in a moment",
	}
}

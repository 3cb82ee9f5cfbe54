package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/google/uuid"
)

// Op describes a write to [Commit] and [Exec].
type Op struct {
	// Name says in errors what failed: "settle job". "" leaves errors unchanged.
	Name string
	// ID is what the write is about. It follows Name; uuid.Nil is left out.
	ID uuid.UUID
	// Bytes and First are those of [Write].
	Bytes int
	First bool
	// Answers are errors that the caller gets unchanged, along with the result; with any
	// other error there is no result.
	Answers []error
}

// Commit runs run as a member of a batch and returns its result once the batch is
// committed, and the zero R with an error. Write is [Queue.Do], or what a store
// wraps around it.
func Commit[T Tx, R any](ctx context.Context, write func(context.Context, Write[T]) error, op Op, run func(T) (R, error)) (R, error) {
	var result, none R
	err := write(ctx, Write[T]{
		First: op.First,
		Bytes: op.Bytes,
		Run: func(tx T) (err error) {
			result, err = run(tx)
			return err
		},
	})
	if err == nil || slices.ContainsFunc(op.Answers, func(answer error) bool { return errors.Is(err, answer) }) {
		return result, err
	}
	return none, op.wrap(err)
}

// Exec is [Commit] for a write without a result.
func Exec[T Tx](ctx context.Context, write func(context.Context, Write[T]) error, op Op, run func(T) error) error {
	return op.wrap(write(ctx, Write[T]{First: op.First, Bytes: op.Bytes, Run: run}))
}

func (o Op) wrap(err error) error {
	switch {
	case err == nil || o.Name == "":
		return err
	case o.ID == uuid.Nil:
		return fmt.Errorf("%s: %w", o.Name, err)
	default:
		return fmt.Errorf("%s %s: %w", o.Name, o.ID, err)
	}
}

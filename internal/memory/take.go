package memory

import "context"

// OrWait returns a function that takes bytes for a grant, and waits for them until ctx
// ends.
func (g *Grant) OrWait(ctx context.Context) func(bytes int64) error {
	return func(bytes int64) error { return g.Grow(ctx, bytes) }
}

// OrFail returns a function that takes bytes for a grant, or fails with err. A grant that
// would take most of its pool takes only that, so that the largest read passes if little
// else is taken.
func (g *Grant) OrFail(err error) func(bytes int64) error {
	most := g.pool.Largest() / 4 * 3
	return func(bytes int64) error {
		bytes = min(bytes, most-g.Taken())
		if bytes > 0 && !g.Take(bytes) {
			return err
		}
		return nil
	}
}

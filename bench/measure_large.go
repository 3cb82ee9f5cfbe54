package main

import (
	"context"
)

const large = "large bodies"

// measureLarge: prompts of 1 MiB and answers of 200 KiB.
func measureLarge(ctx context.Context, b *bench) error {
	how := behaviour{pieces: 200, size: 200 << 10}
	for _, c := range b.present {
		if c.variant || ctx.Err() != nil {
			continue
		}
		err := func() error {
			u, err := b.start(ctx, c, options{})
			if err != nil {
				return err
			}
			defer u.stop()
			warm, err := b.flood(ctx, u, how, 1<<20, 30)
			if err != nil {
				return err
			}
			w := watch(200e6, u.all()...)
			rate, err := b.flood(ctx, u, how, 1<<20, max(30, int(warm*4)))
			w.end()
			if err != nil {
				return err
			}
			b.note(large, c.Name, "jobs", "/s", rate)
			b.note(large, c.Name, "peak memory", "MB", float64(w.peak)/1e6)
			return nil
		}()
		if err != nil {
			b.failed(large, c.Name, err)
		}
	}
	return nil
}

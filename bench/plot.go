package main

import (
	"fmt"
	"image/color"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

var (
	ink    = color.RGBA{R: 0x6b, G: 0x72, B: 0x80, A: 0xff}
	accent = color.RGBA{R: 0x1d, G: 0x6f, B: 0xd8, A: 0xff}
)

// draw draws a page's figure on a logarithmic axis: one line for each contender, a dot for
// the median, a whisker from the least to the greatest.
func (s page) draw(r *results, dir string) error {
	var names []string
	var dots plotter.XYs
	var whiskers []plotter.XYs
	unit := ""
	for _, name := range slices.Backward(r.rows(s.workload)) { // the first on top
		f := r.find(s.workload, name, s.plot)
		if f == nil || median(f.Values) <= 0 {
			continue
		}
		y := float64(len(names))
		names, unit = append(names, name), f.Unit
		dots = append(dots, plotter.XY{X: median(f.Values), Y: y})
		whiskers = append(whiskers, plotter.XYs{{X: slices.Min(f.Values), Y: y}, {X: slices.Max(f.Values), Y: y}})
	}
	if len(names) == 0 {
		return nil
	}
	p := plot.New()
	p.X.Label.Text = fmt.Sprintf("%s, %s (logarithmic)", s.plot, unit)
	p.X.Scale, p.X.Tick.Marker = plot.LogScale{}, decades{}
	p.X.Min, p.X.Max = bounds(whiskers)
	p.NominalY(names...)
	p.Y.Min, p.Y.Max = -0.5, float64(len(names))-0.5
	grid := plotter.NewGrid()
	grid.Horizontal.Color = color.Transparent
	p.Add(grid)
	for i, w := range whiskers {
		colour := ink
		if strings.HasPrefix(names[i], "ringback") {
			colour = accent
		}
		if err := mark(p, w, dots[i], colour); err != nil {
			return err
		}
	}
	return p.Save(16*vg.Centimeter, vg.Length(2+len(names))*vg.Centimeter*0.8, filepath.Join(dir, s.file()))
}

func mark(p *plot.Plot, whisker plotter.XYs, dot plotter.XY, colour color.Color) error {
	line, err := plotter.NewLine(whisker)
	if err != nil {
		return err
	}
	line.Color, line.Width = colour, vg.Points(2)
	point, err := plotter.NewScatter(plotter.XYs{dot})
	if err != nil {
		return err
	}
	point.GlyphStyle = draw.GlyphStyle{Color: colour, Radius: vg.Points(4), Shape: draw.CircleGlyph{}}
	label, err := plotter.NewLabels(plotter.XYLabels{XYs: plotter.XYs{dot}, Labels: []string{"  " + short(dot.X)}})
	if err != nil {
		return err
	}
	label.Offset.Y = vg.Points(5)
	p.Add(line, point, label)
	return nil
}

// bounds returns whole decades around everything, with room for a label.
func bounds(all []plotter.XYs) (low, high float64) {
	low, high = math.Inf(1), 0
	for _, w := range all {
		low, high = min(low, w[0].X), max(high, w[1].X)
	}
	return math.Pow(10, math.Floor(math.Log10(low))), math.Pow(10, math.Ceil(math.Log10(high*1.5)))
}

// decades marks 1, 2 and 5 of each decade.
type decades struct{}

func (decades) Ticks(low, high float64) (ticks []plot.Tick) {
	for d := low; d <= high*1.001; d *= 10 {
		for _, m := range []float64{1, 2, 5} {
			if v := d * m; v <= high*1.001 {
				ticks = append(ticks, plot.Tick{Value: v, Label: strings.TrimSuffix(strings.TrimSuffix(short(v), "0"), ".0")})
			}
		}
	}
	for i, t := range ticks {
		if t.Value >= 100 {
			ticks[i].Label = thousands(int64(math.Round(t.Value)))
		}
	}
	return ticks
}

// drawCurve draws a series over time.
func (s series) draw(dir string) error {
	p := plot.New()
	p.Title.Text = s.Name
	p.X.Label.Text = "seconds"
	p.Y.Min = 0
	points := make(plotter.XYs, len(s.Points))
	for i, xy := range s.Points {
		points[i] = plotter.XY{X: xy[0], Y: xy[1]}
	}
	line, err := plotter.NewLine(points)
	if err != nil {
		return err
	}
	line.Color = accent
	p.Add(plotter.NewGrid(), line)
	return p.Save(14*vg.Centimeter, 6*vg.Centimeter, filepath.Join(dir, s.file()))
}

func (s series) file() string { return strings.NewReplacer(" ", "-", ":", "").Replace(s.Name) + ".svg" }

package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// Budgets of the data path against plain kopia (design §9).
const (
	mostFirst     = 1.05
	mostUnchanged = 1.2
	noBudget      = 0
)

// pair is one measurement of both contenders, one after the other.
type pair struct{ podkeep, plain usage }

// dataSteps are what is measured of each volume on each storage.
var dataSteps = []struct {
	name string
	most float64 // of podkeep's time against plain kopia's
}{
	{"first backup", mostFirst},
	{"unchanged backup", mostUnchanged},
	{"restore", noBudget}, // in the first run only: it is slow, and information
}

// measureData compares the data path with plain kopia.
func (b *bench) measureData(ctx context.Context) error {
	volumes := []struct {
		name  string
		write func(dir string) error
	}{
		{fmt.Sprintf("one file of %.3g GiB", float64(b.bytes)/(1<<30)), func(dir string) error { return writeLargeFile(dir, b.bytes) }},
		{fmt.Sprintf("%d files of 1 KiB", b.files), func(dir string) error { return writeSmallFiles(dir, b.files) }},
	}
	for i, v := range volumes {
		dir := filepath.Join(b.dir, fmt.Sprintf("volume-%d", i))
		c := comparison{bench: b, dir: dir, source: filepath.Join(dir, "source")}
		b.progress("writing %s", v.name)
		if err := errors.Join(os.MkdirAll(c.source, 0o755), v.write(c.source)); err != nil {
			return fmt.Errorf("writing %s: %w", v.name, err)
		}
		for _, s := range []string{"S3", "folder"} {
			c.name, c.onS3 = v.name+", "+s, s == "S3"
			if err := c.run(ctx); err != nil {
				return fmt.Errorf("%s: %w", c.name, err)
			}
		}
	}
	return nil
}

// comparison measures both contenders on one volume and storage.
type comparison struct {
	*bench

	name   string
	dir    string // of temporary data
	source string
	onS3   bool
}

func (c comparison) run(ctx context.Context) error {
	pairs := make([][]pair, len(dataSteps)) // by step, then by run
	for i := range c.runs {
		c.progress("%s: run %d of %d", c.name, i+1, c.runs)
		measured, err := c.measure(ctx, i)
		if err != nil {
			return err
		}
		for step, p := range measured {
			pairs[step] = append(pairs[step], p)
		}
	}
	for step, s := range dataSteps {
		c.report.add(dataRow(s.name+", "+c.name, pairs[step], s.most))
	}
	return nil
}

// measure measures each step once, both contenders in turn, with fresh
// repositories and caches. It removes the repositories, but leaves restored
// files and caches in c.dir: ext4 looks for a free inode among all that were
// deleted in the last minutes, so that whoever creates files after many were
// deleted would pay for it.
//
// Only the first run restores. Who begins changes with each run: the one after
// finds a warmer page cache and a busier disk.
func (c comparison) measure(ctx context.Context, run int) (measured []pair, err error) {
	dir, err := os.MkdirTemp(c.dir, "pair-")
	if err != nil {
		return nil, err
	}
	at, err := c.newPlace(ctx, dir)
	if err != nil {
		return nil, err
	}
	defer func() {
		removal, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Minute)
		defer cancel()
		err = errors.Join(err, at.remove(removal))
	}()
	podkeep, plain, err := c.newContenders(dir, at)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(podkeep.create(ctx), plain.create(ctx)); err != nil {
		return nil, err
	}
	inTurn := turns(run)
	both := [2]contender{podkeep, plain}
	first, ids, err := c.backUp(ctx, both, inTurn)
	if err != nil {
		return nil, err
	}
	unchanged, _, err := c.backUp(ctx, both, inTurn)
	if err != nil || run > 0 {
		return []pair{first, unchanged}, err
	}
	restored, err := c.restore(ctx, both, ids, dir)
	return []pair{first, unchanged, restored}, err
}

// turns is the order of the contenders (0 podkeep, 1 plain kopia) in a run.
func turns(run int) [2]int {
	if run%2 == 1 {
		return [2]int{1, 0}
	}
	return [2]int{0, 1}
}

func (c comparison) backUp(ctx context.Context, contenders [2]contender, inTurn [2]int) (p pair, ids [2]string, err error) {
	of := [2]*usage{&p.podkeep, &p.plain}
	for _, i := range inTurn {
		settle()
		if *of[i], ids[i], err = contenders[i].backup(ctx, c.source); err != nil {
			return p, ids, err
		}
	}
	return p, ids, nil
}

func (c comparison) restore(ctx context.Context, contenders [2]contender, ids [2]string, dir string) (p pair, err error) {
	for i, to := range []*usage{&p.podkeep, &p.plain} {
		target := filepath.Join(dir, fmt.Sprintf("restored-%d", i))
		if err := os.Mkdir(target, 0o755); err != nil {
			return p, err
		}
		settle()
		if *to, err = contenders[i].restore(ctx, ids[i], target); err != nil {
			return p, err
		}
		if err := expectEqual(ctx, c.source, target); err != nil {
			return p, err
		}
	}
	return p, nil
}

// settle waits until all that was written before is on the disk, so that nobody
// pays for the writes of the one before.
func settle() { unix.Sync() }

// dataRow is the comparison of one step. The ratio is the median of the ratios
// of the pairs: what disturbs the machine for minutes disturbs both of a pair.
func dataRow(what string, pairs []pair, most float64) row {
	ratios := make([]float64, 0, len(pairs))
	for _, p := range pairs {
		ratios = append(ratios, p.podkeep.wall.Seconds()/p.plain.wall.Seconds())
	}
	ratio := spreadOf(ratios)
	r := row{
		what:      what,
		measured:  spreadOf(secondsOf(pairs, func(p pair) time.Duration { return p.podkeep.wall })).format(2, " s"),
		yardstick: spreadOf(secondsOf(pairs, func(p pair) time.Duration { return p.plain.wall })).format(2, " s"),
		ratio:     ratio.format(3, ""),
		detail: fmt.Sprintf("processor %.2f / %.2f s, peak memory %.0f / %.0f MB",
			spreadOf(secondsOf(pairs, func(p pair) time.Duration { return p.podkeep.cpu })).median,
			spreadOf(secondsOf(pairs, func(p pair) time.Duration { return p.plain.cpu })).median,
			peakOf(pairs, func(p pair) usage { return p.podkeep }), peakOf(pairs, func(p pair) usage { return p.plain })),
	}
	if most != noBudget {
		r.budget = fmt.Sprintf("≤ %.2f ×", most)
		r.verdict = judge(limit{ratio.median, most})
	}
	return r
}

// peakOf is the median of the peaks, in megabytes.
func peakOf(pairs []pair, of func(pair) usage) float64 {
	peaks := make([]float64, 0, len(pairs))
	for _, p := range pairs {
		peaks = append(peaks, float64(of(p).peakBytes)/megabytes)
	}
	return spreadOf(peaks).median
}

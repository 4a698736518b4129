package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/podkeep/podkeep/tests/suite"
)

// Sections, in the order in which they run.
const (
	sectionJourneys = "journeys"
	sectionMemory   = "memory" // after the journeys: memory of components that have worked
	sectionData     = "data"
	sectionGate     = "gate"
	sectionScale    = "scale" // late: the cluster needs a while to rest from it

	sectionAdmission = "admission"
)

// settings are the flags.
type settings struct {
	sections []string
	runs     int
	binaries string // folder of podkeep and restore-wait
	scratch  string // folder for temporary data
	bytes    int64  // size of the large file
	files    int    // number of small files
	s3URL    string
	objects  []int // numbers of objects to back up
	volumes  []int // numbers of volumes on fake nodes
	nodes    int   // number of fake nodes

	admission admissionRates

	kubeconfig string
}

func main() {
	if len(os.Args) == 3 && os.Args[1] == plainArgument {
		os.Exit(runPlain(os.Args[2]))
	}
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Args[1:], os.Stdout)
	stop()
	if err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func parseFlags(args []string) (settings, error) {
	s := settings{kubeconfig: os.Getenv("PODKEEP_KUBECONFIG")}
	scratch := os.Getenv("TMPDIR")
	if scratch == "" {
		scratch = "/var/tmp" // a disk, also where /tmp is memory
	}
	all := []string{sectionJourneys, sectionMemory, sectionData, sectionGate, sectionAdmission, sectionScale}

	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	only := f.String("only", strings.Join(all, ","), "sections to measure, comma separated")
	f.IntVar(&s.runs, "runs", 3, "how often each is measured; medians are printed")
	f.StringVar(&s.binaries, "binaries", filepath.Dir(suite.Binary()), "folder of the programs podkeep and restore-wait")
	f.StringVar(&s.scratch, "dir", scratch, "folder on a disk for temporary data, about 20 GiB")
	f.Int64Var(&s.bytes, "bytes", 2<<30, "size of the large file; the budgets are for the default")
	f.IntVar(&s.files, "files", 100_000, "number of small files; the budgets are for the default")
	f.StringVar(&s.s3URL, "s3", suite.S3URL, "address of the test cluster's S3 gateway, or of a proxy in front of it")
	objects := f.String("objects", "2000,20000", "numbers of objects to back up, the smallest first")
	volumes := f.String("volumes", "1000,10000", "numbers of volumes on fake nodes, the smallest first")
	f.IntVar(&s.nodes, "nodes", 2000, "number of fake nodes")
	s.admission.bind(f)
	if err := f.Parse(args); err != nil {
		return s, err
	}
	var oerr, verr error
	s.objects, oerr = parseCounts("-objects", *objects)
	s.volumes, verr = parseCounts("-volumes", *volumes)
	if err := errors.Join(oerr, verr); err != nil {
		return s, err
	}
	s.sections = strings.Split(*only, ",")
	for _, section := range s.sections {
		if !slices.Contains(all, section) {
			return s, fmt.Errorf("-only: Unsupported value: %q: supported values: %s", section, strings.Join(all, ", "))
		}
	}
	if s.runs < 1 {
		return s, fmt.Errorf("-runs: Invalid value: %d: must be at least 1", s.runs)
	}
	return s, nil
}

func run(ctx context.Context, args []string, out io.Writer) error {
	s, err := parseFlags(args)
	if err != nil {
		return err
	}
	scratch, err := os.MkdirTemp(s.scratch, "podkeep-bench-")
	if err != nil {
		return fmt.Errorf("making a folder for temporary data: %w", err)
	}
	b := &bench{settings: s, dir: scratch, start: time.Now(), report: &report{}}
	err = b.measure(ctx)
	b.report.print(out)
	b.progress("removing temporary data")
	return errors.Join(err, os.RemoveAll(scratch))
}

// bench is one run of the program.
type bench struct {
	settings

	dir    string // temporary data
	start  time.Time
	report *report
}

// measure runs the chosen sections. One that fails does not stop the others.
func (b *bench) measure(ctx context.Context) error {
	steps := []struct {
		section string
		run     func(context.Context) error
	}{
		{sectionJourneys, b.measureJourneys},
		{sectionMemory, b.measureMemory},
		{sectionData, b.measureData},
		{sectionGate, b.measureGate},
		{sectionAdmission, b.measureAdmission},
		{sectionScale, b.measureScale},
	}
	var failed []error
	for _, step := range steps {
		if !slices.Contains(b.sections, step.section) || ctx.Err() != nil {
			continue
		}
		if err := step.run(ctx); err != nil {
			failed = append(failed, fmt.Errorf("measuring %s: %w", step.section, err))
		}
	}
	return errors.Join(append(failed, ctx.Err())...)
}

// cluster connects to the cluster that the environment names.
func (b *bench) cluster() (*suite.Cluster, error) {
	if b.kubeconfig == "" {
		return nil, errors.New("no cluster: run make bench, or name the kubeconfig of a cluster of make cluster-up in PODKEEP_KUBECONFIG")
	}
	return suite.New(b.kubeconfig)
}

// progress tells a waiting person what is going on.
func (b *bench) progress(format string, args ...any) {
	fmt.Fprintf(os.Stderr, "[%4ds] %s\n", int(time.Since(b.start).Seconds()), fmt.Sprintf(format, args...))
}

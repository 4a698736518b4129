package main

import (
	"context"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/spf13/cobra"
	"go.uber.org/zap/zapcore"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/leaderelection/resourcelock"
	ctrl "sigs.k8s.io/controller-runtime"
	"sigs.k8s.io/controller-runtime/pkg/cache"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/controller-runtime/pkg/healthz"
	"sigs.k8s.io/controller-runtime/pkg/log/zap"
	"sigs.k8s.io/controller-runtime/pkg/manager"
	crmetrics "sigs.k8s.io/controller-runtime/pkg/metrics"
	metricsserver "sigs.k8s.io/controller-runtime/pkg/metrics/server"

	"github.com/podkeep/podkeep/internal/apirequests"
	"github.com/podkeep/podkeep/internal/residency"
)

// Defaults of the roles' flags.
const (
	defaultMetricsAddress = ":8085"
	defaultHealthAddress  = ":8086"

	// shutdownTimeout is shorter than a pod's grace period of 30 s.
	shutdownTimeout = 20 * time.Second

	// gcPercent trades a little processor time for memory: the roles hold small
	// caches and mostly wait.
	gcPercent = 40
)

// roleFlags are the flags of every long-running role.
type roleFlags struct {
	namespace      string
	podName        string
	logLevel       string
	logFormat      string
	metricsAddress string
	healthAddress  string

	// clientQPS and clientBurst limit requests to the API server.
	clientQPS   float32
	clientBurst int

	// profilerAddress serves pprof; "" serves none.
	profilerAddress string
}

func (f *roleFlags) bind(cmd *cobra.Command, env func(string) string) {
	fs := cmd.Flags()
	fs.StringVar(&f.namespace, "install-namespace", env("VELERO_NAMESPACE"), "namespace podkeep is installed in (default: VELERO_NAMESPACE)")
	fs.StringVar(&f.podName, "pod-name", env("POD_NAME"), "name of this pod (default: POD_NAME)")
	fs.StringVar(&f.logLevel, "log-level", "info", "debug, info, warn or error")
	fs.StringVar(&f.logFormat, "log-format", logJSON, "json or text")
	fs.StringVar(&f.metricsAddress, "metrics-address", defaultMetricsAddress, "address of the metrics")
	fs.StringVar(&f.healthAddress, "health-address", defaultHealthAddress, "address of the probes")
	f.clientQPS, f.clientBurst = defaultClientQPS, defaultClientBurst
}

func (f *roleFlags) validate() error {
	if f.namespace == "" {
		return fmt.Errorf("--install-namespace: Required value: name the namespace podkeep is installed in, or set VELERO_NAMESPACE")
	}
	var level zapcore.Level
	if err := level.UnmarshalText([]byte(f.logLevel)); err != nil {
		return fmt.Errorf("--log-level: Unsupported value: %q: supported values: debug, info, warn, error", f.logLevel)
	}
	if f.logFormat != logJSON && f.logFormat != logText {
		return fmt.Errorf("--log-format: Unsupported value: %q: supported values: %s, %s", f.logFormat, logJSON, logText)
	}
	if f.clientQPS <= 0 || f.clientBurst < 1 {
		return fmt.Errorf("--client-qps, --client-burst: Invalid values: %v, %d: must be above 0", f.clientQPS, f.clientBurst)
	}
	encoder := zap.JSONEncoder()
	if f.logFormat == logText {
		encoder = zap.ConsoleEncoder()
	}
	ctrl.SetLogger(zap.New(zap.Level(level), zap.StacktraceLevel(zapcore.PanicLevel), encoder))
	debug.SetGCPercent(gcPercent)
	return nil
}

// managerOptions is what differs between the roles.
type managerOptions struct {
	cache      cache.Options
	uncached   []client.Object // read from the API server at each use
	leaderName string          // "" means that every replica works
}

func (f *roleFlags) newManager(o managerOptions) (ctrl.Manager, error) {
	cfg, err := ctrl.GetConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w", err)
	}
	cfg.QPS, cfg.Burst = f.clientQPS, f.clientBurst
	requests, err := apirequests.New(crmetrics.Registry)
	if err != nil {
		return nil, err
	}
	cfg.Wrap(requests.Wrap)
	// A backup lists every kind, also deprecated ones; nobody acts on the warnings.
	cfg.WarningHandler = rest.NoWarnings{}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	options := ctrl.Options{
		Scheme:                  scheme,
		Cache:                   o.cache,
		Client:                  client.Options{Cache: &client.CacheOptions{DisableFor: o.uncached}},
		Metrics:                 metricsserver.Options{BindAddress: f.metricsAddress},
		HealthProbeBindAddress:  f.healthAddress,
		PprofBindAddress:        f.profilerAddress,
		GracefulShutdownTimeout: ptrTo(shutdownTimeout),
	}
	if o.leaderName != "" {
		if err := f.elect(cfg, o.leaderName, &options); err != nil {
			return nil, err
		}
	}
	mgr, err := ctrl.NewManager(cfg, options)
	if err != nil {
		return nil, fmt.Errorf("making the manager: %w", err)
	}
	if err := mgr.Add(manager.RunnableFunc(releaseMemory)); err != nil {
		return nil, fmt.Errorf("adding the memory release: %w", err)
	}
	return mgr, addProbes(mgr)
}

// A role gives memory back once it has settled after its start, which runs through
// much that is never used again, and then again and again: a backup or restore makes
// pages resident that are not needed until the next. It takes milliseconds.
const (
	settleTime      = 10 * time.Second
	releaseInterval = 15 * time.Second
)

func releaseMemory(ctx context.Context) error {
	for wait := settleTime; ; wait = releaseInterval {
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(wait):
		}
		if err := residency.Release(); err != nil {
			ctrl.LoggerFrom(ctx).Info("Keeping idle memory", "reason", err.Error())
			return nil
		}
	}
}

// Defaults of the limits of requests. The roles answer to events; a limit of their
// own would only delay them, and the API server's priority and fairness protects
// it. The burst is a thousand volumes that are stopped at once.
const (
	defaultClientQPS   = 200
	defaultClientBurst = 1000
)

// Formats of logs.
const (
	logJSON = "json"
	logText = "text"
)

// bindClient adds Velero's flags about the load on the API server and about
// profiles. Roles without them have the defaults.
func (f *roleFlags) bindClient(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.Float32Var(&f.clientQPS, "client-qps", defaultClientQPS, "requests per second to the API server, on average")
	fs.IntVar(&f.clientBurst, "client-burst", defaultClientBurst, "requests to the API server at once")
	fs.StringVar(&f.profilerAddress, "profiler-address", "", "address of the profiles of net/http/pprof, for example localhost:6060 (default: none)")
}

// elect holds the lease in the pod's name instead of a random one: a container
// that is started again in its pod goes on at once, and does not wait for the
// lease of its predecessor to expire.
func (f *roleFlags) elect(cfg *rest.Config, name string, options *ctrl.Options) error {
	lock, err := resourcelock.NewFromKubeconfig(resourcelock.LeasesResourceLock, f.namespace, name,
		resourcelock.ResourceLockConfig{Identity: f.podName}, cfg, leaseRenewDeadline)
	if err != nil {
		return fmt.Errorf("making the leader lock: %w", err)
	}
	options.LeaderElection = true
	options.LeaderElectionReleaseOnCancel = true
	options.LeaderElectionResourceLockInterface = lock
	options.RenewDeadline = ptrTo(leaseRenewDeadline)
	return nil
}

const leaseRenewDeadline = 10 * time.Second

func addProbes(mgr ctrl.Manager) error {
	if err := mgr.AddHealthzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the liveness probe: %w", err)
	}
	if err := mgr.AddReadyzCheck("ping", healthz.Ping); err != nil {
		return fmt.Errorf("adding the readiness probe: %w", err)
	}
	return nil
}

// start runs the manager until the process is told to stop.
func start(ctx context.Context, mgr ctrl.Manager) error {
	if err := mgr.Start(ctx); err != nil {
		return fmt.Errorf("running: %w", err)
	}
	return nil
}

func ptrTo[T any](v T) *T { return &v }

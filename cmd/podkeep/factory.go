package main

import (
	"cmp"
	"context"
	"errors"
	goflag "flag"
	"fmt"
	"io"
	"maps"
	"path/filepath"
	"slices"
	"strconv"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
	corev1 "k8s.io/api/core/v1"
	apiextensionsv1 "k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/client-go/kubernetes"
	clientgoscheme "k8s.io/client-go/kubernetes/scheme"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/install"
)

// The client talks to one API server in short bursts; client-go's default of 5
// requests a second would make it wait for itself.
const (
	clientQPS   = 100
	clientBurst = 200
)

// factory makes clients from the persistent flags, in the order of Velero's
// client (velero-facts §8.5): flag, client configuration file, environment,
// default.
type factory struct {
	env        func(string) string
	config     clientConfig
	kubeconfig string
	context    string
	namespace  string
	features   list
	colorized  optionalBool
}

func newFactory(env func(string) string) *factory {
	return &factory{env: env, config: clientConfig{file: filepath.Join(env("HOME"), ".config", "velero", "config.json")}}
}

func (f *factory) bind(root *cobra.Command) {
	flags := root.PersistentFlags()
	flags.StringVar(&f.kubeconfig, "kubeconfig", "", "path of the kubeconfig file (default: KUBECONFIG, then ~/.kube/config, then the pod's own)")
	flags.StringVar(&f.context, "kubecontext", "", "context of the kubeconfig file")
	flags.StringVarP(&f.namespace, "namespace", "n", "", `namespace podkeep is installed in (default "velero")`)
	flags.Var(&f.colorized, "colorized", "true or false: show colors on a terminal (default: colorized of the client configuration, then true)")
	f.features.bind(flags, "features", "accepted for the sake of Velero's scripts; no feature changes what the client does")
	bindKlog(flags)
	completeValues(root, "colorized", "true", "false")
	contexts := func(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
		return f.contexts(), cobra.ShellCompDirectiveNoFileComp
	}
	if err := root.RegisterFlagCompletionFunc("kubecontext", contexts); err != nil {
		panic(err)
	}
}

// bindKlog takes the flags of Kubernetes' log library, as every client of
// Kubernetes does. Only the one that people use is in the help.
func bindKlog(flags *pflag.FlagSet) {
	own := goflag.NewFlagSet("", goflag.ContinueOnError)
	klog.InitFlags(own)
	flags.AddGoFlagSet(own)
	own.VisitAll(func(g *goflag.Flag) {
		flag := flags.Lookup(g.Name)
		flag.Hidden = g.Name != "v"
	})
	flags.Lookup("v").Usage = "verbosity of the libraries, on standard error; 6 shows requests"
}

// Namespace is the install namespace.
func (f *factory) Namespace() (string, error) {
	if f.namespace != "" {
		return f.namespace, nil
	}
	return f.configuredNamespace()
}

// configuredNamespace is the install namespace when no flag names it.
func (f *factory) configuredNamespace() (string, error) {
	values, err := f.config.load()
	if err != nil {
		return "", err
	}
	if fromFile, ok := values[configNamespace].(string); ok && fromFile != "" {
		return fromFile, nil
	}
	return cmp.Or(f.env("VELERO_NAMESPACE"), install.DefaultNamespace), nil
}

// wantColor is what flag and configuration say, and the custom of NO_COLOR
// (https://no-color.org).
func (f *factory) wantColor() bool {
	if f.colorized.value != nil {
		return *f.colorized.value
	}
	if f.env("NO_COLOR") != "" {
		return false
	}
	values, err := f.config.load()
	if err != nil {
		return true
	}
	text, _ := values[configColorized].(string)
	wanted, err := strconv.ParseBool(text)
	return wanted || err != nil
}

func (f *factory) loader() clientcmd.ClientConfig {
	rules := clientcmd.NewDefaultClientConfigLoadingRules()
	rules.ExplicitPath = f.kubeconfig
	return clientcmd.NewNonInteractiveDeferredLoadingClientConfig(rules, &clientcmd.ConfigOverrides{CurrentContext: f.context})
}

// contextNamespace is where kubectl looks when no flag names a namespace.
func (f *factory) contextNamespace() (string, error) {
	namespace, _, err := f.loader().Namespace()
	if err != nil {
		return "", fmt.Errorf("reading the kubeconfig: %w; name the namespace with -n", err)
	}
	return namespace, nil
}

// contexts are those of the kubeconfig; none when it cannot be read.
func (f *factory) contexts() []string {
	raw, err := f.loader().RawConfig()
	if err != nil {
		return nil
	}
	return slices.Sorted(maps.Keys(raw.Contexts))
}

// RESTConfig is the connection to the cluster.
func (f *factory) RESTConfig() (*rest.Config, error) {
	cfg, err := f.loader().ClientConfig()
	if err != nil {
		return nil, fmt.Errorf("finding the cluster: %w; name it with --kubeconfig or KUBECONFIG", err)
	}
	cfg.QPS, cfg.Burst = clientQPS, clientBurst
	return cfg, nil
}

// Client reads and writes podkeep's objects.
func (f *factory) Client() (client.WithWatch, error) {
	cfg, err := f.RESTConfig()
	if err != nil {
		return nil, err
	}
	scheme, err := newScheme()
	if err != nil {
		return nil, err
	}
	c, err := client.NewWithWatch(cfg, client.Options{Scheme: scheme})
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return c, nil
}

// apiServer is the API server for plain requests.
func (f *factory) apiServer() (apiServer, error) {
	cfg, err := f.RESTConfig()
	if err != nil {
		return apiServer{}, err
	}
	base, _, err := rest.DefaultServerUrlFor(cfg)
	if err != nil {
		return apiServer{}, fmt.Errorf("reading the address of the cluster: %w", err)
	}
	c, err := rest.HTTPClientFor(cfg)
	if err != nil {
		return apiServer{}, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	return apiServer{base: base, client: c}, nil
}

// podLogRequest is the log of a container.
type podLogRequest struct {
	namespace, pod, container string
	previous                  bool // of the run before
	limitBytes                int64
}

// podLog reads the log of a container.
func (f *factory) podLog(ctx context.Context, r podLogRequest) (io.ReadCloser, error) {
	cfg, err := f.RESTConfig()
	if err != nil {
		return nil, err
	}
	c, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return nil, fmt.Errorf("connecting to %s: %w", cfg.Host, err)
	}
	options := &corev1.PodLogOptions{Container: r.container, Previous: r.previous, LimitBytes: &r.limitBytes, Timestamps: true}
	return c.CoreV1().Pods(r.namespace).GetLogs(r.pod, options).Stream(ctx)
}

// newScheme knows Kubernetes' own kinds and Velero's.
func newScheme() (*runtime.Scheme, error) {
	s := runtime.NewScheme()
	err := errors.Join(clientgoscheme.AddToScheme(s), velerov1.AddToScheme(s), apiextensionsv1.AddToScheme(s))
	if err != nil {
		return nil, fmt.Errorf("registering kinds: %w", err)
	}
	return s, nil
}

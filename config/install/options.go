// Package install builds the objects of a podkeep installation.
//
// It is pure: Objects returns what should exist, "podkeep install" applies it or
// prints it. Names that other tools look up (Deployment velero, DaemonSet
// node-agent, volume host-pods, the Secrets) are Velero's; see docs/install.md.
package install

import (
	"fmt"

	corev1 "k8s.io/api/core/v1"

	"github.com/podkeep/podkeep/internal/locationaccess"
	"github.com/podkeep/podkeep/webhook/registration"
	"github.com/podkeep/podkeep/webhook/serving"
)

// Names of the installation's objects. Velero's clients look up the first five.
const (
	ServerName                  = "velero"
	NodeAgentName               = "node-agent"
	HostPodsVolume              = "host-pods"
	CredentialsSecret           = "cloud-credentials"
	RepositorySecret            = locationaccess.RepositorySecret
	WebhookName                 = registration.ServiceName
	CredentialsKey              = "cloud"
	RepositoryPasswordKey       = locationaccess.RepositoryPasswordKey
	DefaultLocation             = "default"
	DefaultNamespace            = "velero"
	DefaultKubeletRoot          = "/var/lib/kubelet"
	DownloadName                = "podkeep-download"
	credentialsDir              = "/credentials"
	hostPodsDir                 = "/host_pods"
	locationVolume              = "location"
	componentLabel              = "component"
	componentLabelValue         = "velero"
	webhookReplicas             = 2
	webhookPort                 = 9443
	metricsPort                 = 8085
	healthPort                  = 8086
	nonRootUser           int64 = 65532
)

// DownloadPort is the port of Service DownloadName, and of the server behind it.
const DownloadPort int32 = 8087

// Options says what to install. The zero value of a field is its default.
type Options struct {
	Namespace string // default DefaultNamespace
	Image     string // required

	// ImagePullPolicy is for all of podkeep's pods; "" leaves it to Kubernetes.
	ImagePullPolicy corev1.PullPolicy

	Location *Location // nil installs no default storage location

	// Credentials is the content of the cloud credentials file; nil creates no
	// Secret, for identities that the cloud attaches to the pods.
	Credentials []byte

	// RepositoryPassword is for a new installation; an existing Secret is kept.
	RepositoryPassword []byte

	KubeletRootDir           string // default DefaultKubeletRoot
	NodeAgentConfigMap       string // name of the node agent's ConfigMap; "" means none
	PrivilegedNodeAgent      bool
	DefaultVolumesToFSBackup bool

	// CertificateIssuer makes the webhook's certificates; default SelfSigned.
	CertificateIssuer serving.Issuer

	// Monitoring adds objects of the Prometheus operator. nil means none.
	Monitoring *Monitoring

	// ServerArgs, NodeAgentArgs and WebhookArgs are passed as they are.
	ServerArgs    []string
	NodeAgentArgs []string
	WebhookArgs   []string
}

// Monitoring says how a Prometheus operator finds its objects.
type Monitoring struct {
	Labels map[string]string // that its Prometheus selects by; nil when it takes all
}

// Location is the storage location "default".
type Location struct {
	Provider string // aws or filesystem
	Bucket   string
	Prefix   string
	Config   map[string]string
	CACert   []byte // PEM
}

func (o Options) withDefaults() (Options, error) {
	if o.Image == "" {
		return o, fmt.Errorf("image: Required value: name podkeep's image, for example registry.example.com/podkeep:v0.1.0")
	}
	if o.Namespace == "" {
		o.Namespace = DefaultNamespace
	}
	if o.CertificateIssuer == "" {
		o.CertificateIssuer = serving.SelfSigned
	}
	if o.KubeletRootDir == "" {
		o.KubeletRootDir = DefaultKubeletRoot
	}
	return o, nil
}

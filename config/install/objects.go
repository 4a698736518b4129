package install

import (
	"slices"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	velerov1 "github.com/podkeep/podkeep/api/velero/v1"
	"github.com/podkeep/podkeep/config/crd"
	"github.com/podkeep/podkeep/config/monitoring"
	"github.com/podkeep/podkeep/config/rbac"
	"github.com/podkeep/podkeep/internal/location"
	"github.com/podkeep/podkeep/webhook/registration"
)

// Objects returns everything of an installation in the order in which it is
// created: definitions, namespace, identities, Secrets, the storage location,
// workloads and, last, the webhooks, which need the workloads.
func Objects(o Options) ([]client.Object, error) {
	o, err := o.withDefaults()
	if err != nil {
		return nil, err
	}
	definitions, err := crd.All()
	if err != nil {
		return nil, err
	}
	var objects []client.Object
	for _, d := range definitions {
		objects = append(objects, d)
	}
	identities, err := identityObjects(o.Namespace)
	if err != nil {
		return nil, err
	}
	objects = append(objects, namespace(o.Namespace))
	objects = append(objects, identities...)
	objects = append(objects, secrets(o)...)
	issuing, err := certificateObjects(o)
	if err != nil {
		return nil, err
	}
	objects = append(objects, issuing...)
	if o.Location != nil {
		bsl, err := storageLocation(o)
		if err != nil {
			return nil, err
		}
		objects = append(objects, bsl)
	}
	objects = append(objects, serverDeployment(o), downloadService(o), nodeAgentDaemonSet(o))
	objects = append(objects, webhookBudget(o), webhookDeployment(o), webhookService(o))
	for _, p := range networkPolicies(o) {
		objects = append(objects, p)
	}
	for _, configuration := range registration.Configurations(o.Namespace, configMapNames(o)) {
		objects = append(objects, injected(o, configuration))
	}
	monitors, err := monitors(o)
	if err != nil {
		return nil, err
	}
	objects = append(objects, monitors...)
	for _, obj := range objects {
		label(obj)
	}
	return objects, nil
}

// monitors are the objects of the Prometheus operator, none unless they are wanted.
func monitors(o Options) ([]client.Object, error) {
	if o.Monitoring == nil {
		return nil, nil
	}
	return monitoring.Objects(o.Namespace, o.Monitoring.Labels)
}

// label marks every object as Velero's installer does, so that Velero's own
// uninstaller and selectors find them.
func label(obj client.Object) {
	labels := obj.GetLabels()
	if labels == nil {
		labels = map[string]string{}
	}
	labels[componentLabel] = componentLabelValue
	obj.SetLabels(labels)
}

// namespace allows privileged pods because movers run as root and mount a
// directory of the host.
func namespace(name string) *corev1.Namespace {
	labels := map[string]string{}
	for _, mode := range []string{"enforce", "audit", "warn"} {
		labels["pod-security.kubernetes.io/"+mode] = "privileged"
		labels["pod-security.kubernetes.io/"+mode+"-version"] = "latest"
	}
	return &corev1.Namespace{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Namespace"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Labels: labels},
	}
}

func identityObjects(ns string) ([]client.Object, error) {
	identities := []rbac.Identity{
		{Component: rbac.Server, Namespace: ns, ServiceAccount: ServerName},
		{Component: rbac.NodeAgent, Namespace: ns, ServiceAccount: NodeAgentName},
		{Component: rbac.Webhook, Namespace: ns, ServiceAccount: WebhookName},
	}
	var objects []client.Object
	for _, id := range identities {
		objects = append(objects, &corev1.ServiceAccount{
			TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "ServiceAccount"},
			ObjectMeta: metav1.ObjectMeta{Name: id.ServiceAccount, Namespace: ns},
		})
		roles, err := rbac.Objects(id)
		if err != nil {
			return nil, err
		}
		objects = append(objects, roles...)
	}
	return objects, nil
}

func secrets(o Options) []client.Object {
	objects := []client.Object{secret(o.Namespace, RepositorySecret, RepositoryPasswordKey, o.RepositoryPassword)}
	if o.Credentials != nil {
		objects = append(objects, secret(o.Namespace, CredentialsSecret, CredentialsKey, o.Credentials))
	}
	return objects
}

func secret(ns, name, key string, value []byte) *corev1.Secret {
	return &corev1.Secret{
		TypeMeta:   metav1.TypeMeta{APIVersion: "v1", Kind: "Secret"},
		ObjectMeta: metav1.ObjectMeta{Name: name, Namespace: ns},
		Type:       corev1.SecretTypeOpaque,
		Data:       map[string][]byte{key: slices.Clone(value)},
	}
}

func storageLocation(o Options) (*velerov1.BackupStorageLocation, error) {
	bsl := &velerov1.BackupStorageLocation{
		TypeMeta:   metav1.TypeMeta{APIVersion: velerov1.SchemeGroupVersion.String(), Kind: "BackupStorageLocation"},
		ObjectMeta: metav1.ObjectMeta{Name: DefaultLocation, Namespace: o.Namespace},
		Spec: velerov1.BackupStorageLocationSpec{
			Provider: o.Location.Provider,
			Default:  true,
			Config:   o.Location.Config,
			StorageType: velerov1.StorageType{ObjectStorage: &velerov1.ObjectStorageLocation{
				Bucket: o.Location.Bucket, Prefix: o.Location.Prefix, CACert: o.Location.CACert,
			}},
		},
	}
	_, err := location.New(bsl)
	return bsl, err
}

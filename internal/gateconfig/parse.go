package gateconfig

import (
	"path"
	"strconv"
	"strings"
	"time"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	"sigs.k8s.io/yaml"
)

// parseImage adds the default image's tag to an image without one, as Velero adds
// its version: so the image follows an upgrade.
func (p *parser) parseImage() string {
	image, ok := p.value(KeyImage)
	switch {
	case !ok:
		return p.image
	case !strings.Contains(image, "/") || strings.ContainsAny(image, " \t\n"):
		p.reject(KeyImage, "must have a registry or a folder, such as registry.example.com/podkeep; using %s", p.image)
		return p.image
	case strings.Contains(path.Base(image), ":"):
		return image
	default:
		return image + tagOf(p.image)
	}
}

// tagOf returns the tag of an image with its colon, "" when it has none.
func tagOf(image string) string {
	image, _, _ = strings.Cut(image, "@") // without a digest
	_, tag, found := strings.Cut(path.Base(image), ":")
	if !found {
		return ""
	}
	return ":" + tag
}

func (p *parser) parseCommand() []string {
	if command, ok := p.value(KeyCommand); ok {
		return []string{command}
	}
	return []string{DefaultCommand}
}

func (p *parser) parseResources() corev1.ResourceRequirements {
	r := corev1.ResourceRequirements{Requests: corev1.ResourceList{}, Limits: corev1.ResourceList{}}
	p.parseResource(&r, corev1.ResourceCPU, KeyCPURequest, KeyCPULimit)
	p.parseResource(&r, corev1.ResourceMemory, KeyMemRequest, KeyMemLimit)
	return r
}

// parseResource sets request and limit of one resource. The API refuses a pod
// whose request is above its limit: a default gives way to the value that is set,
// and of two values that are set the limit wins.
func (p *parser) parseResource(r *corev1.ResourceRequirements, name corev1.ResourceName, requestKey, limitKey string) {
	standard := resource.MustParse(DefaultCPU)
	if name == corev1.ResourceMemory {
		standard = resource.MustParse(DefaultMemory)
	}
	request, requestIsSet := p.parseQuantity(requestKey, standard)
	limit, limitIsSet := p.parseQuantity(limitKey, standard)
	if p.has(requestKey) || p.has(limitKey) {
		p.resources = append(p.resources, name)
	}
	switch {
	case limit.IsZero(): // no limit
	case request.Cmp(limit) <= 0:
	case requestIsSet && limitIsSet:
		p.reject(requestKey, "must not be above %s, which is %s; using %s", limitKey, limit.String(), limit.String())
		request = limit
	case requestIsSet:
		limit = request
	default:
		request = limit
	}
	r.Requests[name] = request
	if !limit.IsZero() {
		r.Limits[name] = limit
	}
}

// parseQuantity returns the quantity of a key, and whether the key set it.
func (p *parser) parseQuantity(key string, standard resource.Quantity) (resource.Quantity, bool) {
	text, ok := p.value(key)
	if !ok {
		return standard, false
	}
	q, err := resource.ParseQuantity(text)
	if err != nil || q.Sign() < 0 {
		p.reject(key, "must be a quantity such as %s; using %s", standard.String(), standard.String())
		return standard, false
	}
	return q, true
}

// parseSecurityContext returns nil when no key of it has a usable value.
func (p *parser) parseSecurityContext() *corev1.SecurityContext {
	sc := &corev1.SecurityContext{}
	found := false
	if id, ok := p.parseID(KeyRunAsUser); ok {
		sc.RunAsUser, found = &id, true
	}
	if id, ok := p.parseID(KeyRunAsGroup); ok {
		sc.RunAsGroup, found = &id, true
	}
	if allow, ok := p.parseBool(KeyAllowPrivilegeEscalation); ok {
		sc.AllowPrivilegeEscalation, found = &allow, true
	}
	if merged, ok := p.mergeYAML(sc); ok {
		sc, found = merged, true
	}
	if !found {
		return nil
	}
	return sc
}

// mergeYAML returns base with the fields of the secCtx key over it.
func (p *parser) mergeYAML(base *corev1.SecurityContext) (*corev1.SecurityContext, bool) {
	text, ok := p.value(KeySecurityContext)
	if !ok {
		return nil, false
	}
	merged := base.DeepCopy()
	if err := yaml.UnmarshalStrict([]byte(text), merged); err != nil {
		p.reject(KeySecurityContext, "must be a SecurityContext in YAML: %s; it is ignored", oneLine(err))
		return nil, false
	}
	return merged, true
}

// maxID is the largest user or group that the API accepts
// (k8s.io/apimachinery/pkg/util/validation, IsValidUserID).
const maxID = 1<<31 - 1

func (p *parser) parseID(key string) (int64, bool) {
	text, ok := p.value(key)
	if !ok {
		return 0, false
	}
	id, err := strconv.ParseInt(text, 10, 64)
	if err != nil || id < 0 || id > maxID {
		p.reject(key, "must be a number between 0 and %d; it is ignored", maxID)
		return 0, false
	}
	return id, true
}

func (p *parser) parseBool(key string) (value, ok bool) {
	text, ok := p.value(key)
	if !ok {
		return false, false
	}
	b, err := strconv.ParseBool(text)
	if err != nil {
		p.reject(key, "must be true or false; it is ignored")
		return false, false
	}
	return b, true
}

func (p *parser) parseDeadline() time.Duration {
	text, ok := p.value(KeyDeadline)
	if !ok {
		return 0
	}
	d, err := time.ParseDuration(text)
	if err != nil || d < 0 {
		p.reject(KeyDeadline, "must be a Go duration such as 45m or 4h; waiting for ever")
		return 0
	}
	return d
}

// oneLine makes an error fit into a condition message.
func oneLine(err error) string {
	return strings.Join(strings.Fields(err.Error()), " ")
}
